"""What is wrong with the user's input, in one line."""
from readable import readable


class Problem(Exception):
    def __init__(self, text, code=3):
        super().__init__(readable(text))
        self.code = code
