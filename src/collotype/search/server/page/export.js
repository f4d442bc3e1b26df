// The results as files: what a table or a program reads.

const COLUMNS = ["rank", "document", "page", "label", "score", "found_by", "text", "link"];

// A spreadsheet runs what begins like a formula.
const cell = (value) => {
  const text = String(value ?? ""), safe = /^[=+\-@\t\r]/.test(text) && typeof value !== "number" ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

const whole = (link) => new URL(link.replace(/^\//, ""), document.baseURI).href;

// A name without what it says of itself: "reader 5: multilingual E5 …".
export const short = (name) => name.split(": ")[0];

export const finders = (hit, named = (name) => name) => hit.found_by.map((one) => `${named(one.name)} at ${one.rank}`).join(", ");

export function csv(hits) {
  const rows = hits.map((hit, place) => [place + 1, hit.document, hit.page, hit.label, hit.score, finders(hit), hit.text, whole(hit.link)]);
  return "\ufeff" + [COLUMNS, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

export function json(query, hits) {
  return JSON.stringify({ query, hits: hits.map(({ picture, heatmap, ...hit }) => ({ ...hit, link: whole(hit.link) })) }, null, 1);
}

export function save(name, kind, content) {
  const address = URL.createObjectURL(new Blob([content], { type: kind }));
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
