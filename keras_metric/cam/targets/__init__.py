"""What a map explains: a class's score, before softmax, linear over positions or not."""
