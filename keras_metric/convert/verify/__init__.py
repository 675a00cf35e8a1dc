"""How exact a conversion is: checked when it is made, measured when asked."""
