"""Text of others on a page of ours: what a record says is never markup."""


def plain(text: str) -> str:
    """Text that HTML, Markdown and Gradio's templates all show as it is."""
    return "".join(c if c.isalnum() or c in " .,:;?'’“”-" else f"&#{ord(c)};" for c in text)
