"""What is shown to those who are not let in yet: it tells nothing of the collection.

Plain HTML out of assets/ui/sign-in.html, without Gradio.
"""

from html import escape
from urllib.parse import quote

from image_search.manifest import CollectionInfo
from image_search.settings import ROOT, Mode, settings
from image_search.ui import model_card

SIGN_OUT = "<form method=post action='/logout'><button class=main>Sign out</button></form>"

CARD = ("Primary intended uses", "Out-of-scope use cases", "Limitations", "Bias and fairness")
"""Passages of CLIP's model card that members read before they begin."""


def sign_in(mode: Mode, contact: str, next: str, trouble: str = "", name: str = "") -> str:
    """The page that asks who somebody is; `next` is where they wanted to go."""
    how = _password_form(next, name) if mode == "password" else _hub_link(next)
    return _page(
        "Sign in",
        "<p>What is here is open to named researchers only.</p>"
        f"{_trouble(trouble)}{how}<p>{_whom_to_ask(contact)}</p>"
        f"<h2>What is kept</h2>{kept()}{_cookie()}",
    )


def refused(name: str, contact: str, next: str) -> str:
    """For somebody who proved who they are, and is not on the list."""
    return _page(
        "You are not on the list",
        f"<p>You are signed in at Hugging Face as <strong>{escape(name)}</strong>, and that "
        "account is not among those that are let in.</p>"
        f"<p>{_whom_to_ask(contact)} Tell them the name of your account.</p>"
        f"{_hub_link(next, 'Try again with another account')}"
        "<p>To change the account, sign out at huggingface.co first.</p>",
    )


def failed(what: str, next: str = "/") -> str:
    """For a sign-in that did not end well."""
    return _page("You are not signed in", f"<p>{escape(what)}</p>{_back(next)}")


def sign_out() -> str:
    return _page("Sign out", f"{SIGN_OUT}<p><a href='/'>Stay</a></p>")


def signed_out() -> str:
    return _page("You are signed out", f"<p>Close the window, or:</p>{_back('/')}")


def terms(text: str, name: str, contact: str, next: str, standing: str = "") -> str:
    """The terms of use, to be accepted.

    `standing` says how far the collection was tested: it stands above them and is no part of them,
    for it may change every day, and nobody is to accept them again for that.
    """
    asking = f" Questions: {escape(contact)}." if contact else ""
    return _page(
        "Before you search",
        f"{f'<p>{escape(standing)}</p>' if standing else ''}"
        f"{text}<form method=post action='/terms?next={_quoted(next)}'>"
        f"<button class=main>I have read this and accept it</button></form>"
        f"<p class=quiet>You are signed in as {escape(name)}. It is kept that you accepted, and "
        f"when.{asking} Not now? <a href='/logout'>Sign out</a></p>",
        wide=True,
    )


def terms_text(collection: CollectionInfo, encoder_notice: str | None) -> str:
    """What members accept, as HTML: its hash is its version."""
    notice = f"<p>{escape(collection.notice)}</p>" if collection.notice else ""
    rights = f"<p>Rights: {escape(collection.rights)}</p>" if collection.rights else ""
    of_collection = f"<h2>Of this collection</h2>{notice}{rights}" if notice or rights else ""
    not_clip = escape(encoder_notice or "")
    stand_in = f"<p>{not_clip} What follows was said of CLIP.</p>" if not_clip else ""
    quoted = "".join(f"<h3>{part}</h3>{model_card.quoted(part)}" for part in CARD)
    return (
        "<p>This search is for research only. Use it for research; never for surveillance or "
        "facial recognition. It finds what a model takes to be near, not what is true: old "
        f"pictures and the model both carry prejudice.</p>{of_collection}"
        f"<h2>What the makers of the model say of it</h2>{stand_in}"
        f"{quoted}<p>From {model_card.link('the model card of CLIP')}, OpenAI, January 2021, MIT "
        f"licence.</p><h2>What is kept</h2>{kept()}"
    )


def kept() -> str:
    """What is kept of visitors, as HTML."""
    days = settings().log_days
    log = (
        f"Each search is recorded for {days:,} {'days' if days > 1 else 'day'}: when, the words "
        "or a fingerprint of the picture, the pictures and filters that were set, which version of "
        "the collection, which pictures were shown and how many were found, how long it took, and "
        "which rule of what may be asked refused it, or asked you whether to go on. Not under a "
        "name: under a pseudonym, which only those who run this can trace back. They hand out "
        "what is recorded of you, and erase it, if you ask."
        if days
        else "Searches are not recorded."
    )
    reports = (
        "If you report a picture, what you write is kept for the curators, and beside it a "
        "pseudonym that they do not see."
    )
    judgements = "What a judge says of pictures is kept with the judge's name."
    own = "A picture that you search with is read in memory and not kept."
    return f"<p>{log} {reports} {judgements} {own}</p>"


def _cookie() -> str:
    hours = settings().session_hours
    return (
        f"<p>A cookie keeps you signed in for {hours} {'hours' if hours > 1 else 'hour'}. "
        "There is no other but that of the sign-in itself.</p>"
    )


def _password_form(next: str, name: str) -> str:
    first, second = ("", " autofocus") if name else (" autofocus", "")
    return (
        f"<form method=post action='/login?next={_quoted(next)}'>"
        "<label for=name>Name</label>"
        f"<input id=name name=name value='{escape(name[:200])}' autocomplete=username "
        f"autocapitalize=none spellcheck=false required{first}>"
        "<label for=password>Password</label>"
        "<input id=password name=password type=password autocomplete=current-password "
        f"required{second}>"
        "<button class=main>Sign in</button></form>"
    )


def _hub_link(next: str, text: str = "Sign in with Hugging Face") -> str:
    # In a window of its own, since it does not work in the Hub's frame; sign-in.js undoes that
    # where there is no frame.
    address = f"/login/huggingface?next={_quoted(next)}"
    return f"<p><a class=main target=_blank rel=noopener href='{address}'>{text}</a></p>"


def whom_to_ask(contact: str) -> str:
    """Who lets people in, as a sentence."""
    if not contact:
        return "To be let in, ask whoever gave you this address."
    return f"To be let in, write to {contact.rstrip('.')}."


def _whom_to_ask(contact: str) -> str:
    contact = contact.rstrip(".")
    sentence = escape(whom_to_ask(contact))
    address = escape(contact)
    is_mail = "@" in contact and " " not in contact
    return (
        sentence.replace(address, f"<a href='mailto:{address}'>{address}</a>")
        if is_mail
        else sentence
    )


def _trouble(text: str) -> str:
    return f"<p id=trouble role=alert>{escape(text)}</p>" if text else ""


def _back(next: str) -> str:
    return f"<p><a class=main href='{escape(next)}'>Sign in again</a></p>"


def _quoted(next: str) -> str:
    return quote(next, safe="")


def _page(title: str, contents: str, wide: bool = False) -> str:
    frame = (ROOT / "assets" / "ui" / "sign-in.html").read_text(encoding="utf-8")
    parts = {"__TITLE__": title, "__CLASS__": "wide" if wide else "narrow"}
    for name, text in parts.items():
        frame = frame.replace(name, text)
    return frame.replace("__CONTENTS__", contents)
