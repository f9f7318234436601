"""Text of others as one line."""


def tidy(text: str) -> str:
    """Text in one line, without what is not seen."""
    return " ".join(printable(text).split())


def printable(text: str) -> str:
    """Text with a blank in the place of each character that is not seen."""
    # Control characters come along when text is pasted; they mean nothing to the model, and
    # something to a terminal.
    return "".join(c if c.isprintable() else " " for c in text)
