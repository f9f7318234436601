"""Text of others as one line."""


def tidy(text: str) -> str:
    """Text in one line, without what is not seen."""
    # Control characters come along when text is pasted; they mean nothing to the model, and
    # something to a terminal.
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
