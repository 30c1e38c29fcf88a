"use strict";
// Text of the program is only ever put in as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const functions = data.functions;
const get = (id) => document.getElementById(id);
const tree = get("tree");

// Rows drawn at once: a page of a large program stays quick.
const AT_FIRST = 120, MOST = 3000;
const CLASSES = [
  ["red", "● must be async", "it awaits something"],
  ["green", "○ could be sync", "it awaits nothing"],
  ["yellow", "▲ bottleneck", "why stands behind it"],
  ["sync", "sync", "functions that are no future"],
  ["deps", "dependencies", "code of crates and std"],
];
const MARKS = { red: "● ", green: "○ ", yellow: "▲ ", sync: "", deps: "" };

function classOf(f) {
  if (!f.own) return "deps";
  if (f.color === "yellow") return "yellow";
  return f.kind === "sync" ? "sync" : f.color;
}

const callers = functions.map(() => []);
functions.forEach((f, id) => f.below.forEach((edge) => callers[edge.to].push({ from: id, edge })));

const state = { words: [], only: new Set(), fold: "", selected: null };
let hits = null, leads = null;

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function isHit(f) {
  if (state.only.size && !state.only.has(classOf(f))) return false;
  const text = ((f.whole || f.name) + " " + f.place).toLowerCase();
  return state.words.every((word) => text.includes(word));
}

// What is looked for, and all that leads to it.
function look() {
  if (!state.words.length && !state.only.size) { hits = leads = null; return; }
  hits = new Set([...functions.keys()].filter((id) => isHit(functions[id])));
  leads = new Set(hits);
  const todo = [...hits];
  while (todo.length) {
    for (const { from } of callers[todo.pop()]) {
      if (!leads.has(from)) { leads.add(from); todo.push(from); }
    }
  }
}

function below(node) {
  if (node.path.includes(node.id)) return [];
  const edges = functions[node.id].below;
  // Below what was looked for everything can be opened.
  const whole = !leads || node.free || hits.has(node.id);
  return whole ? edges : edges.filter((edge) => leads.has(edge.to));
}

// The name with the words that were looked for marked.
function marked(text) {
  const span = make("span", "name");
  const low = text.toLowerCase();
  let at = 0;
  while (at < text.length) {
    const next = state.words
      .map((word) => ({ start: low.indexOf(word, at), length: word.length }))
      .filter((found) => found.start >= 0)
      .sort((a, b) => a.start - b.start || b.length - a.length)[0];
    if (!next || low.length !== text.length) break;
    span.append(text.slice(at, next.start), make("mark", "", text.slice(next.start, next.start + next.length)));
    at = next.start + next.length;
  }
  span.append(text.slice(at));
  return span;
}

function item(node, seen) {
  const f = functions[node.id];
  const li = make("li", classOf(f));
  li.setAttribute("role", "treeitem");
  li.setAttribute("aria-level", node.path.length + 1);
  li.setAttribute("aria-selected", "false");
  li.tabIndex = -1;
  li.node = node;
  li.dataset.id = node.id;
  if (hits && !hits.has(node.id)) li.classList.add("off");
  if (node.edge.possible) li.classList.add("possible");
  const row = make("div", "row");
  const inner = below(node).length;
  row.append(make("span", "twist", inner ? "▸" : ""));
  const what = make("span", "what");
  what.append(MARKS[classOf(f)], marked(f.name), make("span", "kind", ` (${f.kind})`));
  const notes = [...node.edge.notes];
  if (node.path.includes(node.id)) notes.push("↺ recursion");
  else if (inner && seen.has(node.id)) notes.push("⤷ elsewhere too");
  if (f.waits) notes.push(f.waits);
  if (notes.length) what.append(make("span", "note", "  " + notes.join(" · ")));
  if (f.why.length) what.append(make("span", "yellow", "  " + f.why.join("; ")));
  what.title = what.textContent;
  const how = make("span", "how");
  how.append(make("b", "", node.edge.verb), " " + node.edge.at);
  how.title = how.textContent;
  row.append(what, how);
  li.append(row);
  if (inner) li.setAttribute("aria-expanded", "false");
  seen.add(node.id);
  return li;
}

const isOpen = (li) => li.getAttribute("aria-expanded") === "true";
let seen = new Set();

function open(li) {
  if (li.getAttribute("aria-expanded") !== "false") return [];
  li.setAttribute("aria-expanded", "true");
  li.querySelector(".twist").textContent = "▾";
  const list = make("ul");
  list.setAttribute("role", "group");
  const path = [...li.node.path, li.node.id];
  const free = li.node.free || (hits !== null && hits.has(li.node.id));
  const items = below(li.node).map((edge) => item({ id: edge.to, edge, path, free }, seen));
  list.append(...items);
  li.append(list);
  return items;
}

function close(li) {
  if (!isOpen(li)) return;
  li.setAttribute("aria-expanded", "false");
  li.querySelector(".twist").textContent = "▸";
  li.lastElementChild.remove();
}

// Opens what is to be open, level by level, each function once.
function openSome(items) {
  let room = state.fold === "none" ? 0 : state.fold === "all" || hits ? MOST : AT_FIRST;
  const opened = new Set();
  let level = items;
  room -= items.length;
  while (level.length && room > 0) {
    const next = [];
    for (const li of level) {
      const inside = below(li.node);
      const twice = opened.has(li.node.id);
      const leadsOn = !leads || inside.some((edge) => leads.has(edge.to));
      if (!inside.length || twice || inside.length > room || li.node.free || !leadsOn) continue;
      opened.add(li.node.id);
      room -= inside.length;
      next.push(...open(li));
    }
    level = next;
  }
}

function draw() {
  look();
  seen = new Set();
  tree.replaceChildren();
  const all = [];
  for (const [title, begins] of data.begins) {
    const shown = begins.filter((edge) => !leads || leads.has(edge.to));
    if (!shown.length) continue;
    if (title) tree.append(make("p", "heading", title));
    const list = make("ul");
    list.setAttribute("role", "group");
    const items = shown.slice(0, MOST).map((edge) => item({ id: edge.to, edge, path: [] }, seen));
    list.append(...items);
    tree.append(list);
    all.push(...items);
  }
  openSome(all);
  if (all.length) all[0].tabIndex = 0;
  const many = functions.length;
  get("found").textContent = hits ? `${hits.size} of ${many} functions found` : "";
  document.body.dataset.ready = "yes";
  remember();
}

function select(li, focus) {
  for (const other of tree.querySelectorAll("[aria-selected=true]")) other.setAttribute("aria-selected", "false");
  for (const other of tree.querySelectorAll("li[tabindex='0']")) other.tabIndex = -1;
  li.setAttribute("aria-selected", "true");
  li.tabIndex = 0;
  if (focus) { li.focus({ preventScroll: true }); li.firstElementChild.scrollIntoView({ block: "nearest" }); }
  details(li.node.id);
}

function link(id, text) {
  const a = make("a", "", text);
  a.href = "#q=" + encodeURIComponent(functions[id].name);
  return a;
}

function list(title, items) {
  const part = document.createDocumentFragment();
  if (!items.length) return part;
  part.append(make("p", "place", title));
  const ul = make("ul");
  for (const nodes of items) { const li = make("li"); li.append(...nodes); ul.append(li); }
  part.append(ul);
  return part;
}

function details(id) {
  const f = functions[id];
  state.selected = id;
  const box = get("details");
  box.replaceChildren(make("h2", "", "Function"), make("p", "code " + classOf(f), f.whole || f.name));
  const facts = make("dl");
  for (const [name, value] of [["kind", f.whole_kind], ["declared", f.place], ["size", f.size], ["waits", f.waits && f.waits.replace("waits ", "")]]) {
    if (value) facts.append(make("dt", "", name), make("dd", "", value));
  }
  box.append(facts);
  box.append(list("why yellow", f.why.map((why) => [why])));
  box.append(list("suspended at", f.points.map((point) => [point])));
  box.append(list("used by", callers[id].slice(0, 50).map(({ from, edge }) => [link(from, functions[from].name), make("span", "place", ` ${edge.verb} ${edge.at}`)])));
}

function summary() {
  const box = get("summary");
  box.append(make("h2", "", "Summary"));
  for (const answer of data.answers) {
    const items = answer.items.map((one) => [one.text, make("span", "place", one.place && "  " + one.place)]);
    if (answer.left_out) items.push([`… and ${answer.left_out} more`]);
    const part = list(answer.text, items);
    if (!items.length) part.append(make("p", "", answer.text));
    box.append(part);
  }
  if (data.notes.length) box.append(make("h2", "", "Not shown"), list("", data.notes.map((note) => [note])));
}

// What the address says, so that a view can be kept and passed on.
function recall() {
  const asked = new URLSearchParams(location.hash.slice(1));
  get("search").value = asked.get("q") || "";
  state.words = words();
  state.only = new Set((asked.get("only") || "").split(",").filter((name) => MARKS[name] !== undefined));
  state.fold = asked.get("fold") || "";
  if (asked.get("theme")) document.documentElement.dataset.theme = asked.get("theme");
  chips();
}

function remember() {
  const kept = new URLSearchParams();
  const text = get("search").value.trim();
  if (text) kept.set("q", text);
  if (state.only.size) kept.set("only", [...state.only].join(","));
  if (state.fold) kept.set("fold", state.fold);
  const theme = document.documentElement.dataset.theme;
  if (theme) kept.set("theme", theme);
  const hash = kept.toString();
  if (hash === location.hash.slice(1)) return;
  try { history.replaceState(null, "", "#" + hash); } catch { /* A page without an address of its own. */ }
}

const words = () => get("search").value.toLowerCase().split(/\s+/).filter(Boolean);

function chips() {
  get("chips").replaceChildren(...CLASSES.filter(([name]) => functions.some((f) => classOf(f) === name)).map(([name, text, title]) => {
    const count = functions.filter((f) => classOf(f) === name).length;
    const chip = make("button", name, `${text} ${count}`);
    chip.type = "button";
    chip.title = title + "; press to show only these";
    chip.setAttribute("aria-pressed", state.only.has(name));
    chip.addEventListener("click", () => {
      if (!state.only.delete(name)) state.only.add(name);
      state.fold = "";
      chips();
      draw();
    });
    return chip;
  }));
}

function visible(li, step) {
  const rows = [...tree.querySelectorAll("li")];
  return rows[rows.indexOf(li) + step];
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && event.target !== get("search")) {
    event.preventDefault();
    return get("search").focus();
  }
  if (event.key === "Escape") {
    get("search").value = "";
    state.words = [];
    state.only.clear();
    chips();
    return draw();
  }
  if (event.target === get("search") && (event.key === "ArrowDown" || event.key === "Enter")) {
    event.preventDefault();
    const first = tree.querySelector("li:not(.off)") || tree.querySelector("li");
    if (first) select(first, true);
    return;
  }
  const li = event.target.closest && event.target.closest("#tree li");
  if (!li) return;
  const parent = li.parentElement.closest("li");
  const rows = () => [...tree.querySelectorAll("li")];
  const moves = {
    ArrowDown: () => visible(li, 1),
    ArrowUp: () => visible(li, -1),
    Home: () => rows()[0],
    End: () => rows().pop(),
    ArrowRight: () => (isOpen(li) ? visible(li, 1) : (open(li), li)),
    ArrowLeft: () => (isOpen(li) ? (close(li), li) : parent),
    Enter: () => li,
    " ": () => (isOpen(li) ? close(li) : open(li), li),
    "*": () => ([...li.parentElement.children].forEach(open), li),
  };
  if (!moves[event.key]) return;
  event.preventDefault();
  const to = moves[event.key]();
  if (to) select(to, true);
}

tree.addEventListener("click", (event) => {
  const li = event.target.closest("li");
  if (!li) return;
  if (event.target.closest(".twist")) { if (isOpen(li)) close(li); else open(li); }
  select(li, true);
});
tree.addEventListener("dblclick", (event) => {
  const li = event.target.closest("li");
  if (li && !event.target.closest(".twist")) { if (isOpen(li)) close(li); else open(li); }
});
document.addEventListener("keydown", key);
get("search").addEventListener("input", () => { state.words = words(); state.fold = ""; draw(); });
get("fold").addEventListener("click", () => { state.fold = "none"; draw(); });
get("unfold").addEventListener("click", () => { state.fold = "all"; draw(); });
get("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  remember();
});
addEventListener("hashchange", () => { recall(); draw(); });

get("counts").textContent = data.counts;
recall();
summary();
draw();
const first = tree.querySelector("li:not(.off)");
if (first) select(first, false);
