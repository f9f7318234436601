/** A new element with properties and what is within it; text stays text. */
export function element(name, properties, ...inner) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...inner);
  return made;
}
