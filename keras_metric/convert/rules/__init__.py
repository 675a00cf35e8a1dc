"""How each kind of layer is rewritten: the table of rules, and the rules by family."""
