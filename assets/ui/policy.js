// What a rule of the policy says of a question: that it is not asked here, or whether to go on.

import { element } from "./element.js";

export class Refusal {
  /** `on` has the functions ask(question) and change(): the visitor writes another question. */
  constructor(place, on) {
    this.on = on;
    this.place = place;
  }

  /** Say why a question is not answered. */
  show(question, { reason, rule, tier, source }) {
    const link = element("a", { href: source.address, target: "_blank", rel: "noopener noreferrer" }, source.title);
    const line = element("p", {}, reason);
    const more = element("p", { className: "source" }, "More: ", link);
    const change = button("Change the question", () => {
      this.hide();
      this.on.change();
    });
    const buttons = [change];
    if (tier === "warn") {
      const acknowledged = [...question.acknowledged, rule];
      buttons.unshift(button("Search all the same", () => this.on.ask({ ...question, acknowledged })));
    }
    this.place.replaceChildren(line, more, element("div", {}, ...buttons));
    this.place.dataset.tier = tier;
  }

  hide() {
    this.place.replaceChildren();
  }
}

function button(label, does) {
  const made = element("button", { type: "button" }, label);
  made.addEventListener("click", does);
  return made;
}
