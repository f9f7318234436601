// One picture, large, with all that is known of it: beside the pictures on a wide screen, over
// them on a narrow one.

const WIDE = matchMedia("(min-width: 900px)");
const HTTP = /^https?:\/\//i;

export class Panel {
  /** `on` has the functions close, step(by), like(id). */
  constructor(dialog, on) {
    this.dialog = dialog;
    this.root = dialog.closest("#image-search"); // it makes room for the panel
    this.on = on;
    this.part = (id) => dialog.querySelector(`#${id}`);
    this.part("close").addEventListener("click", () => on.close());
    this.part("previous").addEventListener("click", () => on.step(-1));
    this.part("next").addEventListener("click", () => on.step(1));
    this.part("like").addEventListener("click", () => on.like(this.picture));
    this.part("copy").addEventListener("click", () => this.#copy());
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      on.close();
    });
    dialog.addEventListener("keydown", (event) => this.#key(event));
    WIDE.addEventListener("change", () => {
      if (!dialog.open) return;
      dialog.close();
      this.#open();
    });
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** Show a picture; `place` says where it stands, `about` are the fields and the rights. */
  show(picture, { place, first, last }, about) {
    this.picture = picture;
    this.part("panel-title").textContent = picture.title;
    this.part("place").textContent = place;
    this.part("previous").disabled = first;
    this.part("next").disabled = last;
    this.part("copy").textContent = "Copy link";
    const large = this.part("large");
    large.href = picture.picture;
    const image = new Image(picture.width, picture.height); // new: the one before never shows
    image.alt = picture.title;
    image.style.backgroundImage = `url("${picture.thumbnail}")`;
    image.addEventListener("load", () => image.style.removeProperty("background-image"));
    image.src = picture.picture;
    large.replaceChildren(image);
    this.part("fields").replaceChildren(...fieldsOf(picture, about));
    if (!this.dialog.open) this.#open();
    this.dialog.scrollTop = 0;
    this.part("panel-title").focus({ preventScroll: true });
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

  #key(event) {
    const keys = { Escape: this.on.close, ArrowLeft: () => this.on.step(-1) };
    keys.ArrowRight = () => this.on.step(1);
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(location.href);
      this.part("copy").textContent = "Copied";
    } catch {
      this.part("copy").textContent = "Copy it from the address bar";
    }
  }
}

function* fieldsOf(picture, { fields, rights }) {
  const shown = fields.filter((field) => field.role !== "title");
  for (const field of shown) {
    const value = picture.metadata[field.name];
    if (value === null || value === undefined || value === "") continue;
    yield* line(labelOf(field), valueOf(value, field.kind));
  }
  const stated = fields.find((field) => field.role === "rights");
  if (rights && (!stated || !picture.metadata[stated.name])) yield* line("Rights", rights);
  if (picture.score !== undefined) yield* line("Nearness", picture.score.toFixed(2));
  yield* line("File", picture.id);
}

function labelOf(field) {
  const label = { source_url: "Source", credit: "Credit", rights: "Rights" }[field.role];
  const words = field.name.replaceAll("_", " ");
  return label ?? words.charAt(0).toUpperCase() + words.slice(1);
}

function valueOf(value, kind) {
  const text = Array.isArray(value) ? value.join(" · ") : String(value);
  if (kind !== "url" || !HTTP.test(text)) return text;
  const link = document.createElement("a");
  link.href = text;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  link.textContent = text.replace(HTTP, "").replace(/\/$/, "");
  return link;
}

function line(label, value) {
  const name = document.createElement("dt");
  name.textContent = label;
  const said = document.createElement("dd");
  said.dir = "auto";
  said.append(value);
  return [name, said];
}
