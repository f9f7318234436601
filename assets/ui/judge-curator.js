// What curators have in the tab Judge besides: the taxonomy, and how far judges agree.

import { element } from "./element.js";
import * as questions from "./question.js";

export class Curator {
  constructor(part, onChange) {
    this.part = part;
    this.onChange = onChange;
    const details = part("curator");
    details.hidden = false;
    details.addEventListener("toggle", () => details.open && this.#tell(() => this.#show()));
    part("file").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#tell(() => this.#use());
    });
    part("text").addEventListener("input", () => this.#wrong(""));
    this.#tell(async () => (details.open = !(await this.#file())));
  }

  async #file() {
    const { text } = await questions.get("taxonomy");
    if (text) this.part("text").value = text;
    return text;
  }

  async #show() {
    const about = this.part("agreement");
    if (!(await this.#file())) return about.replaceChildren();
    return about.replaceChildren(...agreementOf(await questions.get("judgements/agreement")));
  }

  async #use() {
    this.part("use").disabled = true;
    this.#wrong("");
    try {
      const body = this.part("text").value;
      const headers = { "Content-Type": "text/plain; charset=utf-8" };
      const { kept } = await questions.get("taxonomy", { method: "PUT", headers, body });
      const later = kept ? "" : " It could not be written down yet; that is tried again.";
      this.part("used").textContent = `This taxonomy counts now.${later}`;
      this.part("curator").open = !kept;
      await this.onChange();
      this.part("bench").scrollIntoView({ block: "nearest" });
    } finally {
      this.part("use").disabled = false;
    }
  }

  async #tell(action) {
    try {
      await action();
    } catch (error) {
      this.#wrong(questions.told(error));
    }
  }

  /** Say what is wrong, and select the line where it is. */
  #wrong(why) {
    const text = this.part("text");
    this.part("wrong").textContent = why;
    this.part("used").textContent = "";
    text.setAttribute("aria-invalid", String(Boolean(why)));
    const [, line] = /^Line (\d+)/.exec(why) ?? [];
    if (!line) return;
    const lines = text.value.split("\n");
    const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    text.focus();
    text.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
    text.scrollTop = ((line - 4) * text.scrollHeight) / Math.max(lines.length, text.rows);
  }
}

/** Who has judged how much, and how far they agree. */
function agreementOf({ kappa, pairs, judged }) {
  const names = Object.keys(judged);
  if (!names.length) return [element("p", {}, "Nobody has judged a picture yet.")];
  const lines = names.map((name) => {
    const count = Object.values(judged[name]).reduce((sum, one) => sum + one, 0);
    return element("li", {}, element("bdi", {}, name), `: ${plural(count, "answer")}`);
  });
  const agreed = pairs.map((pair) => {
    const [a, b] = pair.judges.map((name) => element("bdi", {}, name));
    const share = `the same for ${Math.round(100 * pair.agreed)} % of ${plural(pair.both, "picture")}`;
    return element("li", {}, a, " and ", b, ` said ${share}; kappa ${shown(pair.kappa)}`);
  });
  const all = pairs.length
    ? `Cohen’s kappa of the judges is ${shown(kappa)}: 1 if they always agree, 0 if no more than ` +
      "by chance. Low? Talk about what counts, and write it into the taxonomy (about = \"…\")."
    : "How far judges agree can be said once two of them have judged the same pictures.";
  return [element("ul", {}, ...lines), element("p", {}, all), element("ul", {}, ...agreed)];
}

const shown = (kappa) => (kappa === null ? "not to be had" : kappa.toFixed(2));

export const plural = (count, thing) => `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`;
