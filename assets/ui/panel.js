// One picture, large, with all that is known of it: beside the pictures on a wide screen, over
// them on a narrow one.

import { cite } from "./carry.js";
import { addressOf, isCovered, uncover } from "./covers.js";
import { element } from "./element.js";
import { citationOf, mayCurate, told } from "./question.js";
import { topsOf } from "./tables.js";

const WIDE = matchMedia("(min-width: 900px)");
const HTTP = /^https?:\/\//i;
const FIRST = ["rights", "credit", "source_url"]; // roles that come before the other fields

export class Panel {
  /** `on` has the functions close, step(by), like(picture, how), select(picture), link(picture),
   * withdrawn(ids, how), noticed(picture): a notice covers it now. */
  constructor(dialog, on) {
    this.dialog = dialog;
    this.root = dialog.closest("#image-search"); // makes room for the panel
    this.on = on;
    this.part = (id) => dialog.querySelector(`#${id}`);
    mayCurate().then((may) => may && this.#offerWithdrawal());
    const does = {
      close: () => on.close(),
      previous: () => on.step(-1),
      next: () => on.step(1),
      like: () => on.like(this.picture, "like"),
      unlike: () => on.like(this.picture, "unlike"),
      select: () => on.select(this.picture),
      copy: () => this.#copy(),
      cite: () => this.#cite(),
      show: () => uncover(this.picture),
      "show-all": () => uncover(this.picture, true),
      report: () => this.#unfold("report", (form) => form.reportOf(this.picture)),
      "cover-with": () =>
        this.#unfold("cover-with", (form) => form.noticeFor(this.picture, this.on.noticed)),
    };
    for (const id in does) this.part(id).addEventListener("click", does[id]);
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      on.close();
    });
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog && !this.#isInside(event)) on.close();
    });
    addEventListener("covers", () => this.isOpen && this.#showPixels({ again: true }));
    document.addEventListener("keydown", (event) => this.#key(event));
    WIDE.addEventListener("change", () => {
      if (!dialog.open) return;
      dialog.close();
      this.#open();
    });
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** Show a picture; `standing` says which one it is, `about` has the fields and the rights. */
  show(picture, { standing, first, last, chosen }, about) {
    this.picture = picture;
    this.showChosen(chosen);
    this.part("citation").replaceChildren();
    this.part("panel-title").textContent = picture.title;
    this.part("byline").textContent = bylineOf(picture, about);
    this.part("place").textContent = standing;
    this.part("previous").disabled = first;
    this.part("next").disabled = last;
    this.part("copy").textContent = "Copy link";
    this.part("panel-trouble").textContent = "";
    this.#fold();
    this.#showPixels();
    this.part("fields").replaceChildren(...fieldsOf(picture, about));
    this.tops?.forEach((before) => before.remove());
    this.tops = topsOf(picture, about.tables);
    this.part("fields").after(...this.tops);
    this.withdrawal?.show(picture);
    if (!this.dialog.open) this.#open();
    this.dialog.scrollTop = 0;
    this.part("panel-title").focus({ preventScroll: true });
  }

  /** Show the picture, or what covers it; `again`, when that has changed. */
  #showPixels({ again = false } = {}) {
    const { picture } = this;
    const covered = isCovered(picture);
    if (again && covered === this.part("large").hidden) return;
    this.part("large").hidden = covered;
    this.part("covered").hidden = !covered;
    this.part("covered-by").textContent = covered ? picture.notice : "";
    this.part("alone").href = this.part("large").href = addressOf(picture, "picture");
    this.part("large").replaceChildren();
    if (covered) return again && this.part("show").focus();
    const image = new Image(picture.width, picture.height); // new: the one before never shows
    image.alt = picture.title;
    image.style.backgroundImage = `url("${addressOf(picture, "thumbnail")}")`;
    image.addEventListener("load", () => image.style.removeProperty("background-image"));
    image.src = addressOf(picture, "picture");
    this.part("large").append(image);
    if (again && !this.root.querySelector("#grid").contains(document.activeElement)) {
      this.part("large").focus({ preventScroll: true }); // the button that was pressed is gone
    }
  }

  async #offerWithdrawal() {
    const { Withdrawal } = await import("./withdrawal.js");
    this.withdrawal = new Withdrawal(this.dialog, {
      done: (ids, how) => this.on.withdrawn(ids, how),
      trouble: (text) => (this.part("panel-trouble").textContent = text),
    });
    if (this.isOpen) this.withdrawal.show(this.picture);
  }

  /** Unfold a form below a button, or fold it; few need them, so they are loaded when asked for. */
  async #unfold(id, formOf) {
    const button = this.part(id);
    const open = button.ariaExpanded !== "true";
    this.#fold();
    if (!open) return;
    const { picture } = this;
    try {
      const form = await formOf(await import("./forms.js"));
      if (picture !== this.picture) return;
      button.ariaExpanded = "true";
      this.part(`${id}-form`).replaceChildren(form);
      form.addEventListener("reset", () => {
        this.#fold();
        button.focus();
      });
      form.querySelector("select, input, textarea").focus();
    } catch (error) {
      this.part("panel-trouble").textContent = told(error);
    }
  }

  #fold() {
    for (const id of ["report", "cover-with"]) {
      this.part(id).ariaExpanded = "false";
      this.part(`${id}-form`).replaceChildren();
    }
  }

  /** Say whether the picture is selected; null if it cannot be. */
  showChosen(chosen) {
    this.part("select").hidden = chosen === null;
    this.part("select").ariaPressed = String(chosen === true);
    this.part("select").textContent = chosen ? "Selected" : "Select";
  }

  /** Say something in the panel, if it covers the page; whether it does. */
  tell(text) {
    const covers = this.isOpen && this.dialog.matches(":modal");
    this.part("panel-trouble").textContent = covers ? text : "";
    return covers;
  }

  hide() {
    this.dialog.close();
    document.documentElement.classList.remove("covered");
    this.root.classList.remove("divided");
  }

  #open() {
    document.documentElement.classList.toggle("covered", !WIDE.matches);
    this.root.classList.toggle("divided", WIDE.matches);
    if (WIDE.matches) this.dialog.show();
    else this.dialog.showModal();
  }

  #isInside({ clientX, clientY }) {
    const { left, right, top, bottom } = this.dialog.getBoundingClientRect();
    return clientX >= left && clientX <= right && clientY >= top && clientY <= bottom;
  }

  #key(event) {
    if (!this.isOpen || event.ctrlKey || event.metaKey || event.altKey) return;
    // Elsewhere the arrows have a meaning of their own.
    const here = event.target === document.body || this.dialog.contains(event.target);
    if (!here && event.key !== "Escape") return;
    // The arrows move in it.
    if (event.target.matches("input, select, textarea") && event.key !== "Escape") return;
    const does = {
      Escape: () => this.on.close(),
      ArrowLeft: () => this.on.step(-1),
      ArrowRight: () => this.on.step(1),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  }

  #cite() {
    const trouble = (text) => (this.part("panel-trouble").textContent = text);
    return cite(citationOf(this.picture.id), this.part("citation"), trouble);
  }

  async #copy() {
    const { address, alone } = this.on.link(this.picture);
    try {
      await navigator.clipboard.writeText(address);
      this.part("copy").textContent = alone ? "Copied: this picture only" : "Copied";
    } catch {
      this.part("copy").textContent = "Copy it from the address bar";
    }
  }
}

/** Who made it, and when: the fields with these roles, as far as they are known. */
function bylineOf(picture, { fields }) {
  const known = (role) => {
    const field = fields.find((field) => field.role === role);
    return field ? textOf(picture.metadata[field.name]) : "";
  };
  return [known("creator"), known("year")].filter(Boolean).join(" · ");
}

function* fieldsOf(picture, { fields, rights }) {
  const known = (field) => textOf(picture.metadata[field.name]);
  const stated = fields.some((field) => field.role === "rights" && known(field));
  if (rights && !stated) yield* line("Rights", rights);
  const first = FIRST.flatMap((role) => fields.filter((field) => field.role === role));
  const others = fields.filter(({ role }) => !["title", "creator", "year", ...FIRST].includes(role));
  for (const field of [...first, ...others]) {
    const text = known(field);
    if (text) yield* line(labelOf(field), field.kind === "url" ? linkTo(text) : text);
  }
  if (picture.score !== undefined && picture.score !== null) {
    yield* line("Nearness", `${picture.score.toFixed(2)} (1 at most; not a percentage)`);
  }
  if (picture.notice) yield* line("Notice", picture.notice);
  yield* line("File", picture.id);
}

function labelOf({ name, role }) {
  const words = name.replaceAll("_", " ");
  const label = { source_url: "Source", credit: "Credit", rights: "Rights" }[role];
  return label ?? words.charAt(0).toUpperCase() + words.slice(1);
}

function textOf(value) {
  return Array.isArray(value) ? value.join(" · ") : String(value ?? "");
}

/** A link that says where it leads; plain text if it is no address of the web. */
function linkTo(text) {
  if (!HTTP.test(text) || !URL.canParse(text)) return text;
  const how = { href: text, target: "_blank", rel: "noopener noreferrer", title: text };
  return element("a", how, new URL(text).hostname.replace(/^www\./, ""));
}

function line(label, value) {
  return [element("dt", {}, label), element("dd", { dir: "auto" }, value)];
}
