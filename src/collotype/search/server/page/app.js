// The page's state is the address (?q=…&folder=…&document=…&language=…) and what the server last said. Data become text nodes only.

import { csv, finders, json, save, short } from "./export.js";

const find = (id) => document.getElementById(id);
const state = { hits: [], words: [], word: "", shown: -1, documents: [], chosen: new Set(), folder: "", language: "", about: null, polling: 0, like: null, crop: "", beside: null };
const IMAGE = "▣";
const SEARCH_AFTER_MS = 250, POLL_MS = 700, HITS = 24;

// ---- small helpers

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// What a document itself calls its page stands behind the number, if it is another: "page 7 (iv)".
const numbered = (hit) => hit.label ? `${hit.page} (${hit.label})` : `${hit.page}`;

const plural = (count, one) => `${count.toLocaleString()} ${one}${count === 1 ? "" : "s"}`;

async function ask(address, options = {}) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer; is it still running?");
  }
  if (answer.status === 401 && await door()) return ask(address, options);
  const body = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(body?.error ?? `The server answered ${answer.status}.`);
  return body;
}

let toastTimer;
function toast(sentence) {
  find("toast").textContent = sentence;
  find("toast").classList.add("on");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => find("toast").classList.remove("on"), 7000);
}

// ---- the key, where the server asks for one

let opening = null;
function door() {
  opening ??= new Promise((resolve) => {
    find("door").showModal();
    find("door-form").onsubmit = async (event) => {
      event.preventDefault();
      const body = JSON.stringify({ key: find("key").value });
      const answer = await fetch("api/session", { method: "POST", headers: { "content-type": "application/json" }, body });
      if (!answer.ok) {
        find("door-problem").textContent = (await answer.json()).error;
        find("key").select();
        return;
      }
      find("door").close();
      resolve(true);
    };
    find("door").onclose = () => { opening = null; resolve(false); };
  });
  return opening;
}

// ---- documents

async function loadDocuments() {
  clearTimeout(state.polling);
  try {
    state.about = await ask("api/documents");
  } catch (error) {
    fail(error);
    return;
  }
  const before = state.documents;
  state.documents = state.about.documents;
  const names = new Set(state.documents.map((one) => one.name));
  for (const name of state.chosen) if (!names.has(name)) state.chosen.delete(name);
  showDocuments();
  const busy = state.documents.some((one) => one.state === "waiting" || one.state === "indexing");
  if (busy) state.polling = setTimeout(loadDocuments, POLL_MS);
  const indexed = (list) => list.filter((one) => one.state === "indexed").map((one) => one.name).join("\n");
  if (before.length && indexed(before) !== indexed(state.documents)) search();
  else if (!find("query").value.trim()) showEmpty();
}

function showDocuments() {
  const about = state.about, wanted = find("narrow").value.trim().toLowerCase();
  find("encoder").textContent = about.encoder;
  find("shelf-count").textContent = about.documents.length.toLocaleString();
  find("narrow").hidden = about.documents.length < 9;
  find("add").hidden = about.read_only;
  find("files").accept = about.kinds.join(",");
  showAll();
  find("drop-like").hidden = !about.images;
  showFolders();
  showLanguages();
  const rows = state.documents.filter((one) => inFolder(one) && one.name.toLowerCase().includes(wanted));
  const focused = document.activeElement?.dataset?.row;
  find("documents").replaceChildren(...rows.map(documentRow));
  if (focused) [...find("documents").querySelectorAll("[data-row]")].find((one) => one.dataset.row === focused)?.focus();
}

// Of each document the folder that it lies in, and those above it.
function foldersOf(name) {
  const parts = name.split("/").slice(0, -1);
  return parts.map((_, place) => parts.slice(0, place + 1).join("/"));
}

function showFolders() {
  const folders = [...new Set(state.documents.flatMap((one) => foldersOf(one.name)))].sort();
  const select = find("folder");
  if (!folders.includes(state.folder)) state.folder = "";
  select.hidden = !folders.length;
  select.replaceChildren(make("option", { value: "" }, "All folders"), ...folders.map((one) => make("option", { value: one }, one)));
  select.value = state.folder;
}

const inFolder = (one) => !state.folder || one.name.startsWith(`${state.folder}/`);

find("folder").addEventListener("change", () => {
  state.folder = find("folder").value;
  state.chosen.clear();
  showDocuments();
  search();
});

const languageNames = new Intl.DisplayNames(undefined, { type: "language", fallback: "code" });

// There is something to choose where pages are in two languages; the most common stand first.
function showLanguages() {
  const select = find("language"), known = Object.entries(state.about.languages);
  if (!state.about.languages[state.language]) state.language = "";
  select.hidden = known.length < 2 && !state.language;
  select.replaceChildren(make("option", { value: "" }, "All languages"),
    ...known.map(([code, pages]) => make("option", { value: code }, `${languageNames.of(code)} (${plural(pages, "page")})`)));
  select.value = state.language;
}

find("language").addEventListener("change", () => {
  state.language = find("language").value;
  showAll();
  search();
});

function showAll() {
  find("all").hidden = !state.chosen.size && !state.folder && !state.language;
}

function documentRow(one) {
  const box = make("input", { type: "checkbox", checked: state.chosen.has(one.name), disabled: !one.pages, "data-row": `box ${one.name}` });
  box.addEventListener("change", () => {
    if (box.checked) state.chosen.add(one.name); else state.chosen.delete(one.name);
    showAll();
    search();
  });
  const label = make("label", { title: one.name }, box, make("span", { class: "name" }, one.name),
    make("span", { class: "pages" }, one.pages ? one.pages.toLocaleString() : ""));
  const row = make("li", { "data-state": one.state }, label);
  if (!state.about.read_only && one.state !== "indexing") {
    const title = one.state === "failed" ? `Forget ${one.name}` : `Delete ${one.name}`;
    row.append(make("button", { class: "quiet round", "aria-label": title, title, "data-row": `delete ${one.name}`, onclick: () => remove(one) }, "×"));
  }
  if (one.state === "waiting") row.append(make("p", { class: "under" }, "waits to be indexed"));
  if (one.state === "failed") row.append(make("p", { class: "under bad" }, one.problem));
  if (one.state === "indexing") {
    const told = one.total ? `page ${one.done} of ${one.total}` : "is being read";
    const bar = make("progress", { "aria-label": `Indexing ${one.name}` });
    if (one.total) { bar.max = one.total; bar.value = one.done; }
    row.append(make("div", { class: "under" }, told, bar));
  }
  return row;
}

async function remove(one) {
  if (one.state !== "failed") {
    find("sure-title").textContent = `Delete ${one.name}?`;
    find("sure-text").textContent = one.uploaded
      ? "Its pages leave the index, and the uploaded file is deleted."
      : "Its pages leave the index. The file itself stays where it is.";
    find("sure").returnValue = "no";
    find("sure").showModal();
    await new Promise((resolve) => find("sure").addEventListener("close", resolve, { once: true }));
    if (find("sure").returnValue !== "yes") return;
  }
  try {
    await ask(documentAddress(one.name), { method: "DELETE" });
  } catch (error) {
    toast(error.message);
  }
  await loadDocuments();
}

const documentAddress = (name) => `api/documents/${name.split("/").map(encodeURIComponent).join("/")}`;

// ---- uploads

async function upload(files) {
  if (!state.about || state.about.read_only) return toast("This server is read-only.");
  for (const file of files) {
    const kind = file.name.slice(file.name.lastIndexOf(".")).toLowerCase();
    if (!state.about.kinds.includes(kind)) { toast(`${file.name} is not a PDF or image.`); continue; }
    if (file.size > state.about.upload_bytes) { toast(`${file.name} is larger than ${Math.floor(state.about.upload_bytes / 2 ** 20)} MiB.`); continue; }
    try {
      await ask(documentAddress(file.name), { method: "PUT", body: file });
    } catch (error) {
      toast(`${file.name}: ${error.message}`);
    }
    await loadDocuments();
  }
}

find("pick").addEventListener("click", () => find("files").click());
find("files").addEventListener("change", async () => { await upload([...find("files").files]); find("files").value = ""; });
let over = 0;
const brings = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragenter", (event) => { if (brings(event)) { event.preventDefault(); over += 1; document.body.classList.add("dragging"); } });
addEventListener("dragover", (event) => { if (brings(event)) event.preventDefault(); });
addEventListener("dragleave", (event) => { if (brings(event) && --over <= 0) { over = 0; document.body.classList.remove("dragging"); } });
addEventListener("drop", (event) => {
  if (!brings(event)) return;
  event.preventDefault();
  over = 0;
  document.body.classList.remove("dragging");
  if (state.about?.images && event.target.closest?.("#ask")) lookFor({ file: event.dataTransfer.files[0] });
  else upload([...event.dataTransfer.files]);
});

// ---- images in a query's place

addEventListener("paste", (event) => {
  const file = [...event.clipboardData?.files ?? []].find((one) => one.type.startsWith("image/"));
  if (!file) return;
  event.preventDefault();
  if (state.about?.images) lookFor({ file });
  else toast("This index was made from words, so it cannot be searched by an image.");
});

// A file, or a page of the index by its name and number and the part of it.
function lookFor(like) {
  state.like = like;
  find("query").value = "";
  if (find("view").open) find("view").close();
  search();
}

function likeRequest(address) {
  const { file, name, page, crop } = state.like;
  if (file) return [`api/search/image?${address}`, { method: "POST", body: file }];
  for (const [key, value] of Object.entries({ name, page, ...(crop ? { crop } : {}) })) address.set(key, value);
  return [`api/search/like?${address}`, {}];
}

find("image-off").addEventListener("click", () => { state.like = null; search(); find("query").focus(); });

// ---- searching

let timer, running;
function searchSoon() {
  clearTimeout(timer);
  timer = setTimeout(search, SEARCH_AFTER_MS);
}

async function search() {
  clearTimeout(timer);
  running?.abort();
  const query = find("query").value.trim();
  if (query) state.like = null;
  remember(query);
  find("image-off").hidden = !state.like;
  if (!query && !state.like) {
    show([], "", null);
    return;
  }
  const address = new URLSearchParams({ ...(query ? { q: query } : {}), k: HITS });
  if (state.folder) address.set("folder", state.folder);
  for (const name of state.chosen) address.append("document", name);
  if (state.language) address.set("language", state.language);
  const call = running = new AbortController();
  find("hits").classList.add("stale");
  find("hits").setAttribute("aria-busy", "true");
  if (!state.hits.length) say("Searching …");
  try {
    const [place, options] = state.like ? likeRequest(address) : [`api/search?${address}`, {}];
    const answer = await ask(place, { ...options, signal: call.signal });
    show(answer.hits, answer.query, answer);
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  } finally {
    if (call === running) {
      find("hits").classList.remove("stale");
      find("hits").removeAttribute("aria-busy");
    }
  }
}

function remember(query) {
  const address = new URL(location);
  address.search = "";
  if (query) address.searchParams.set("q", query);
  if (state.like?.name) for (const key of ["name", "page", "crop"]) if (state.like[key]) address.searchParams.set(key, state.like[key]);
  if (state.folder) address.searchParams.set("folder", state.folder);
  for (const name of state.chosen) address.searchParams.append("document", name);
  if (state.language) address.searchParams.set("language", state.language);
  history.replaceState(null, "", address);
  document.title = query ? `${query} · Collotype` : "Collotype";
}

function say(sentence, bad = false) {
  find("status").textContent = sentence;
  find("status").classList.toggle("bad", bad);
}

function fail(error) {
  say(error.message, true);
}

function show(hits, query, answer) {
  state.hits = hits;
  state.query = query;
  state.words = [...new Set(hits.flatMap((hit) => hit.places.map((place) => place.word)))].filter((word) => word !== IMAGE);
  find("take").hidden = !hits.length;
  find("asked").textContent = query;
  light("");
  find("hits").replaceChildren(...hits.map(card));
  find("words").replaceChildren(...(hits.length ? state.words : []).map(wordButton));
  if (answer) {
    const among = state.chosen.size ? ` in ${plural(state.chosen.size, "document")}` : state.folder && ` in ${state.folder}`;
    const spoken = state.language ? ` in ${languageNames.of(state.language)}` : "";
    const like = state.like ? ` like ${query}` : "";
    say(hits.length ? `${plural(hits.length, "page")}${like}${spoken}${among} · ${answer.seconds.toFixed(2)} s` : "");
  } else say("");
  find("empty").hidden = hits.length > 0;
  if (!hits.length) showEmpty(query);
}

function showEmpty(query = find("query").value.trim()) {
  if (state.hits.length) return;
  find("empty").hidden = false;
  const pages = state.about?.pages ?? 0;
  let title, text;
  if (!state.about) [title, text] = ["", ""];
  else if (!pages) [title, text] = ["Nothing is indexed yet", state.about.read_only ? "This server is read-only: documents are added with collotype index." : "Drop a PDF anywhere on this page, and search in it a moment later."];
  else if (query) [title, text] = ["No page found", state.chosen.size || state.folder || state.language ? "Not among the pages chosen. Show all of them, or ask in other words." : "Ask in other words."];
  else [title, text] = ["Say what is on the page", `${plural(pages, "page")} of ${plural(state.documents.filter((one) => one.pages).length, "document")}. Every page found shows where your words are.`];
  find("empty-title").textContent = title;
  find("empty-text").textContent = text;
}

// ---- the pages found

function card(hit, place) {
  const text = hit.text || "";
  return make("li", {}, make("button", { class: "card", "data-place": String(place), onclick: () => view(place) },
    make("span", { class: "clip" }, sheet(hit, hit.picture, 640)),
    make("span", { class: "caption" },
      make("span", { class: "top" }, make("span", { class: "name", title: hit.document }, hit.document), make("span", { class: "pages" }, `page ${numbered(hit)}`)),
      make("span", { class: "text" }, ...marked(text, hit.places)),
      ...(severalFind() ? [make("span", { class: "found" }, finders(hit, short))] : []))));
}

// Several encoders, or a second stage: then each hit says which.
const severalFind = () => new Set(state.hits.flatMap((hit) => hit.found_by.map((one) => one.name))).size > 1;

function sheet(hit, address, longest) {
  const picture = make("img", { draggable: false, alt: `Page ${numbered(hit)} of ${hit.document}`, src: sized(address, longest), loading: "lazy", decoding: "async" });
  const best = Math.max(...hit.places.map((place) => place.score), 1e-6);
  const whole = make("span", { class: "sheet loading" }, picture, ...hit.places.map((place) => placeOn(place, place.score / best)));
  picture.addEventListener("load", () => whole.classList.remove("loading", "gone"));
  picture.addEventListener("error", () => { whole.classList.remove("loading"); whole.classList.add("gone"); });
  return whole;
}

const sized = (address, longest) => `${address.replace(/^\//, "")}&longest=${longest}`;

// A word that is hardly there is hardly lit.
function placeOn(found, strength) {
  const [left, top, right, bottom] = found.box;
  const element = make("span", { class: "place", "data-word": found.word, "aria-hidden": "true" });
  Object.assign(element.style, { left: `${left * 100}%`, top: `${top * 100}%`, width: `${(right - left) * 100}%`, height: `${(bottom - top) * 100}%` });
  element.style.setProperty("--strength", String(Math.max(0.1, strength ** 2)));
  element.addEventListener("mouseenter", () => light(found.word, false));
  element.addEventListener("mouseleave", () => light(state.word, false));
  return element;
}

// Of scripts that put no spaces between words, what was asked for may be a part of a run.
const UNSPACED = /[\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\u{20000}-\u{3ffff}\p{Script=Thai}\p{Script=Lao}\p{Script=Myanmar}\p{Script=Khmer}]/u;
const OF_WORDS = "[\\p{L}\\p{N}\\p{M}_]";

function patternOf(word) {
  const letters = [...word], edge = (letter, side) => UNSPACED.test(letter) ? "" : `(?${side}${OF_WORDS})`;
  // vowel points of Hebrew and Arabic, which a query need not have
  const pointed = letters.map((letter) => letter.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&") + (/[\u0590-\u08ff]/.test(letter) ? "\\p{M}*" : ""));
  return edge(letters[0], "<!") + pointed.join("") + edge(letters.at(-1), "!");
}

// Whole words: "in" is not marked within "find".
function marked(text, places) {
  const trimmed = places.map((place) => place.word.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}\p{M}]+$/gu, ""));
  const words = trimmed.filter((word) => word.length > 1 || UNSPACED.test(word));
  if (!words.length) return [text];
  const pattern = words.sort((a, b) => b.length - a.length).map(patternOf).join("|");
  return text.split(new RegExp(`(${pattern})`, "giu")).map((part, place) => place % 2 ? make("mark", {}, part) : part);
}

function wordButton(word) {
  return make("button", {
    type: "button", "aria-pressed": "false", "data-word": word,
    onclick: () => light(state.word === word ? "" : word),
    onmouseenter: () => light(word, false), onmouseleave: () => light(state.word, false),
    onfocus: () => light(word, false), onblur: () => light(state.word, false),
  }, word);
}

// Shows one word's places on every page, and dims the others; `keep` until the next one.
function light(word, keep = true) {
  if (keep) state.word = word;
  document.body.classList.toggle("has-word", word !== "");
  for (const place of document.querySelectorAll(".place")) place.classList.toggle("on", place.dataset.word === word);
  for (const button of document.querySelectorAll("#words button")) button.setAttribute("aria-pressed", String(state.word !== "" && button.dataset.word === state.word));
}

// ---- one page, large

function view(place) {
  const hit = state.hits[place];
  if (!hit) return;
  state.shown = place;
  find("view-title").textContent = hit.document;
  find("view-page").textContent = `Page ${numbered(hit)} · score ${hit.score.toFixed(2)} · hit ${place + 1} of ${state.hits.length}`;
  find("view-text").replaceChildren(...marked(hit.text || "", hit.places));
  find("view-words-title").hidden = !hit.places.length;
  const several = new Set(hit.places.map((found) => found.by)).size > 1;
  find("view-words").replaceChildren(...hit.places.map((found) => make("li", {}, make("button", {
    type: "button", onmouseenter: () => light(found.word, false), onmouseleave: () => light(state.word, false),
    onfocus: () => light(found.word, false), onblur: () => light(state.word, false), onclick: () => light(state.word === found.word ? "" : found.word),
  }, make("span", { class: "name" }, found.word === IMAGE ? "the image" : found.word, ...(several ? [make("span", { class: "by", title: found.by }, short(found.by))] : [])), make("meter", { min: "0", max: "1", value: String(Math.max(0, found.score)), "aria-label": `Match of ${found.word}` }),
  make("span", { class: "number" }, found.score.toFixed(2))))));
  find("open").href = hit.link.replace(/^\//, "");
  find("open").textContent = /\.pdf$/i.test(hit.document) ? `Open the PDF at page ${numbered(hit)}` : "Open the picture";
  find("previous").disabled = place === 0;
  find("next").disabled = place === state.hits.length - 1;
  find("view-found").replaceChildren(...hit.found_by.map((one) => make("li", {}, `${one.name}: place ${one.rank}, score ${one.score.toFixed(3)}`)));
  find("like").hidden = !state.about?.images;
  choose("");
  showBeside(hit);
  document.querySelector(".view-encoder").textContent = `Found by ${state.about?.encoder ?? "…"}`;
  showSheet();
  if (!find("view").open) find("view").showModal();
  find("close").focus({ preventScroll: true });
  document.querySelector(".view-page").scrollTo(0, 0);
}

function showSheet() {
  const hit = state.hits[state.shown], heat = find("heat").checked;
  const page = sheet(hit, heat ? hit.heatmap : hit.picture, 1600);
  page.id = "view-sheet";
  page.classList.toggle("heated", heat);
  find("view-sheet").replaceWith(page);
  light(state.word);
}

// ---- two pages side by side, and a part of one

function showBeside(hit) {
  const other = state.beside && state.beside !== hit ? state.beside : null;
  find("keep-beside").checked = state.beside === hit;
  find("beside").hidden = !other;
  if (!other) return;
  const page = sheet(other, other.picture, 1600);
  page.id = "beside-sheet";
  find("beside-sheet").replaceWith(page);
  find("beside-name").textContent = `${other.document}, page ${numbered(other)}`;
}

find("keep-beside").addEventListener("change", () => {
  state.beside = find("keep-beside").checked ? state.hits[state.shown] : null;
  showBeside(state.hits[state.shown]);
});

function choose(crop) {
  state.crop = crop;
  find("like-this").textContent = crop ? "More like this part" : "More like this page";
  find("view-sheet").classList.toggle("choosing", find("choose-part").checked);
  if (!crop) document.querySelector(".part")?.remove();
}

find("choose-part").addEventListener("change", () => choose(""));
find("like-this").addEventListener("click", () => {
  const hit = state.hits[state.shown];
  lookFor({ name: hit.document, page: hit.page, crop: state.crop });
});

document.querySelector(".view-page").addEventListener("pointerdown", (event) => {
  const page = event.target.closest("#view-sheet");
  if (!page || !find("choose-part").checked) return;
  event.preventDefault();
  const edges = page.getBoundingClientRect(), part = make("span", { class: "part" });
  document.querySelector(".part")?.remove();
  page.append(part);
  const at = (event) => [(event.clientX - edges.left) / edges.width, (event.clientY - edges.top) / edges.height].map((one) => Math.min(1, Math.max(0, one)));
  const from = at(event);
  const box = (event) => { const to = at(event); return [0, 1, 0, 1].map((axis, place) => (place < 2 ? Math.min : Math.max)(from[axis], to[axis])); };
  const draw = (event) => {
    const [left, top, right, bottom] = box(event);
    Object.assign(part.style, { left: `${left * 100}%`, top: `${top * 100}%`, width: `${(right - left) * 100}%`, height: `${(bottom - top) * 100}%` });
  };
  addEventListener("pointermove", draw);
  addEventListener("pointerup", (event) => {
    removeEventListener("pointermove", draw);
    const [left, top, right, bottom] = box(event);
    choose(right - left > 0.02 && bottom - top > 0.02 ? [left, top, right, bottom].map((one) => one.toFixed(4)).join(",") : "");
  }, { once: true });
});

// ---- results to take along

const fileName = (ending) => `${(state.query || "pages").replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60)}.${ending}`;
find("as-csv").addEventListener("click", () => save(fileName("csv"), "text/csv", csv(state.hits)));
find("as-json").addEventListener("click", () => save(fileName("json"), "application/json", json(state.query, state.hits)));
find("print").addEventListener("click", () => print());

find("close").addEventListener("click", () => find("view").close());
find("previous").addEventListener("click", () => view(state.shown - 1));
find("next").addEventListener("click", () => view(state.shown + 1));
find("heat").addEventListener("change", showSheet);
find("view").addEventListener("click", (event) => { if (event.target === find("view")) find("view").close(); });
find("view").addEventListener("close", () => { light(state.word); cards()[state.shown]?.focus(); });

// ---- keys

const cards = () => [...document.querySelectorAll(".card")];

// The card that an arrow leads to: the next one in a row, the nearest across in the next row.
function neighbour(from, key) {
  const all = cards(), at = all.indexOf(from);
  if (key === "ArrowRight") return all[at + 1];
  if (key === "ArrowLeft") return all[at - 1];
  const here = from.getBoundingClientRect(), down = key === "ArrowDown" ? 1 : -1;
  const beyond = all.map((card) => [card, card.getBoundingClientRect()]).filter(([, box]) => (box.top - here.top) * down > 4);
  beyond.sort(([, a], [, b]) => (a.top - b.top) * down || Math.abs(a.left - here.left) - Math.abs(b.left - here.left));
  return beyond[0]?.[0];
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches?.("input[type=search], input[type=password]");
  if (find("view").open) {
    if (event.key === "ArrowRight") view(Math.min(state.shown + 1, state.hits.length - 1));
    else if (event.key === "ArrowLeft") view(Math.max(state.shown - 1, 0));
    else return;
    event.preventDefault();
  } else if (document.querySelector("dialog[open]")) {
    return;
  } else if (event.key === "/" && !typing) {
    event.preventDefault();
    find("query").select();
  } else if (event.target === find("query") && event.key === "ArrowDown" && cards().length) {
    event.preventDefault();
    cards()[0].focus();
  } else if (event.target.matches?.(".card") && event.key.startsWith("Arrow")) {
    event.preventDefault();
    (neighbour(event.target, event.key) ?? (event.key === "ArrowUp" ? find("query") : null))?.focus();
  } else if (event.key === "Escape") {
    if (state.word) light("");
    else if (event.target === find("query")) { find("query").value = ""; search(); }
    else find("query").focus();
  }
});

// ---- begin

find("ask").addEventListener("submit", (event) => { event.preventDefault(); search(); });
find("query").addEventListener("input", searchSoon);
find("narrow").addEventListener("input", showDocuments);
find("all").addEventListener("click", () => { state.chosen.clear(); state.folder = state.language = ""; showDocuments(); search(); });
find("shelf-toggle").addEventListener("click", () => {
  const open = find("shelf").classList.toggle("open");
  find("shelf-toggle").setAttribute("aria-expanded", String(open));
});

const asked = new URL(location).searchParams;
find("query").value = asked.get("q") ?? "";
state.chosen = new Set(asked.getAll("document"));
state.folder = asked.get("folder") ?? "";
state.language = asked.get("language") ?? "";
if (asked.get("name")) state.like = { name: asked.get("name"), page: asked.get("page") ?? "1", crop: asked.get("crop") ?? "" };
await loadDocuments();
if (find("query").value || state.like) search();
