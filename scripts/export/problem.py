"""What is wrong with the user's input, in one line."""


class Problem(Exception):
    def __init__(self, text, code=3):
        super().__init__(text)
        self.code = code
