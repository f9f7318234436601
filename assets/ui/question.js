// A question: words, pictures of the collection that are liked or not (by id), filters, a picture
// file of the visitor's own. Knows its place in the address, and how to ask it.

const API = new URL("../api/v1/", import.meta.url);

const LONGEST = 200_000; // what the server reads of an address, with some to spare

// Files that were searched with, by name, for back and forward; they live as long as this page.
const files = new Map();

/** Something to tell the visitor, as it is. */
class Problem extends Error {}

/** What there is to tell of an error; thrown on if that is nothing. */
export function told(error) {
  if (!(error instanceof Problem)) throw error;
  return error.message;
}

export const NOTHING = Object.freeze({
  text: "",
  like: [],
  unlike: [],
  where: [],
  contains: "",
  file: null,
});

/** Whether it says what is looked for. */
export const isAsked = ({ text, like, unlike, file }) =>
  Boolean(text.trim() || like.length || unlike.length || file);

export const isFiltered = ({ where, contains }) => Boolean(where.length || contains.trim());

export const isEmpty = (question) => !isAsked(question) && !isFiltered(question);

/** The question with some pictures liked, or disliked, and no longer the other. */
export function liking(question, id, how) {
  const other = how === "like" ? "unlike" : "like";
  const without = (ids) => ids.filter((one) => one !== id);
  return {
    ...question,
    [how]: [...without(question[how]), id],
    [other]: without(question[other]),
  };
}

/** The question that an entry of the browser's history holds; `lost` if its file is gone. */
export function fromHistory(search, state) {
  const address = new URLSearchParams(search);
  const name = state?.file;
  return {
    text: address.get("text") ?? "",
    like: address.getAll("like"),
    unlike: address.getAll("unlike"),
    where: address.getAll("where"),
    contains: address.get("contains") ?? "",
    file: files.get(name) ?? null,
    lost: name !== undefined && !files.has(name),
  };
}

/** What is said of a question in an address, here or of the API. */
function parametersOf({ text, like, unlike, where, contains }) {
  const said = new URLSearchParams();
  if (text.trim()) said.set("text", text.trim());
  for (const id of like) said.append("like", id);
  for (const id of unlike) said.append("unlike", id);
  for (const one of where) said.append("where", one);
  if (contains.trim()) said.set("contains", contains.trim());
  return said;
}

/** The address of a question, with a picture opened or not; with a version, to be cited. */
export function toAddress(question, picture = null, version = "") {
  const address = parametersOf(question);
  if (picture !== null) address.set("picture", picture);
  if (version) address.set("version", version.slice(0, VERSION));
  return address.size ? `?${address}` : location.pathname;
}

const VERSION = 12; // characters that tell a version from others

/** Whether an address was made for another version of the collection than this one. */
export function isOfAnother(search, version) {
  const made = new URLSearchParams(search).get("version");
  return made !== null && !version.startsWith(made);
}

/** What the browser's history has to keep besides the address: the name of a file. */
export function toState({ file }) {
  if (!file) return {};
  for (const [name, known] of files) if (known === file) return { file: name };
  const name = `${performance.timeOrigin} ${files.size}`; // another one after a reload
  files.set(name, file);
  return { file: name };
}

/** A name for a question: the same one has the same results. */
export const keyOf = (question) => JSON.stringify([toAddress(question), toState(question)]);

/** Results of a question, further ones with a cursor. Throws Problem. */
export const ask = (question, cursor, signal) =>
  get(...put("search", question, cursor ? { cursor } : {}, signal));

/** What is known of the pictures of a question, counted. Throws Problem. */
export const facets = (question, signal) => get(...put("facets", question, {}, signal));

/** How to cite a search. Throws Problem. */
export const citation = (question) => get(...put("citation", question, {}));
export const citationOf = (id) => get(`citations/${encodeURIComponent(id)}`);

/** A file of what was found: its name, and an address within this page. Throws Problem. */
export async function fileOf(question, format, k, chosen) {
  const [path, options] = put(`export/${format}`, question, { k });
  const response = await fetched(`${path}${chosen.map((id) => `&id=${encodeURIComponent(id)}`).join("")}`, options);
  if (!response.ok) throw await problemOf(response);
  const [, name] = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition")) ?? [];
  return { name: name ?? "pictures", address: URL.createObjectURL(await response.blob()) };
}

/** Where a question goes, and how. */
function put(path, question, further, signal) {
  const parameters = parametersOf(question);
  for (const name in further) parameters.set(name, further[name]);
  if (parameters.toString().length > LONGEST) {
    throw new Problem("That is too long for a question. A short sentence in English works best.");
  }
  const options = question.file ? { method: "POST", body: question.file } : {};
  return [`${path}?${parameters}`, { signal, ...options }];
}

export let overview;
export let collection;

/** The collection has other pictures now: what was learnt of it before does not hold. */
export function forget() {
  overview = once(() => get("overview"));
  collection = once(() => get("collection"));
}
forget();

export const you = once(() => get("you"));
/** Whether whoever has signed in is a curator. */
export const mayCurate = () =>
  you().then(
    ({ role }) => ["curator", "operator"].includes(role),
    () => false,
  );
export const notices = () => get("notices");
export const addNotice = (notice) => post("notices", notice);
export const removeNotice = (id) => get(`notices/${encodeURIComponent(id)}`, { method: "DELETE" });
export const reasons = once(() => get("reports/reasons"));
export const report = (said) => post("reports", said);
export const reports = () => get("reports");
export const decide = (id, decided) => post(`reports/${encodeURIComponent(id)}/decision`, decided);
export const use = () => get("use");
export const nearCopies = (id) => get(`near-copies/${encodeURIComponent(id)}`);
export const withdrawn = () => get("withdrawals");
export const withdraw = (ids, reason) => post("withdrawals", { ids, reason });
export const restore = (id) =>
  get(`withdrawals/${encodeURIComponent(id)}`, { method: "DELETE" });
export const record = (id) => get(`records/${encodeURIComponent(id)}`);
export const counts = (table, ids) =>
  get(`tables/${table}/counts?${new URLSearchParams(ids.map((id) => ["id", id]))}`);
export const top = (table, id) => get(`tables/${table}/top/${encodeURIComponent(id)}`);

/** The answer to a request that is made once, and again only if it failed. */
function once(request) {
  let answer = null;
  return () =>
    (answer ??= request().catch((error) => {
      answer = null;
      throw error;
    }));
}

function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return get(path, { method: "POST", headers, body: JSON.stringify(body) });
}

async function get(path, options = {}) {
  const response = await fetched(path, options);
  if (!response.ok) throw await problemOf(response);
  return response.json().catch(() => {
    throw new Problem(`The server cannot answer this (${response.status}).`);
  });
}

async function fetched(path, options) {
  let response;
  try {
    response = await fetch(new URL(path, API), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer. Check the connection and try again.");
  }
  if (response.status === 401) location.reload(); // the session has ended: sign in again
  return response;
}

async function problemOf(response) {
  const told = await response.json().catch(() => null);
  return new Problem(told?.detail ?? `The server cannot answer this (${response.status}).`);
}
