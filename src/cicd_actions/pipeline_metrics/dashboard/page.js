"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const DAY = 86400, PAGE = 50, SVG = "http://www.w3.org/2000/svg";
const by = id => document.getElementById(id);

// -- facts
const [dCreated, dId, repo, flow, branch, took, result, attempt, first] = data.runs;
const size = dCreated.length;
const created = new Float64Array(size), ids = new Float64Array(size);
for (let at = 0, time = 0, id = 0; at < size; at++) {
  created[at] = time += dCreated[at];
  ids[at] = id += dId[at];
}
const RESULTS = ["failed", "passed", "neither", "at work"];
const chosen = { repository: -1, workflow: -1, branch: -1, days: 0 };
let listing = null, page = 0;

// -- making elements: text from outside only ever becomes text
function make(name, about = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(about)) {
    if (key === "on") made.addEventListener("click", value); else made.setAttribute(key, value);
  }
  made.append(...inside);
  return made;
}
function draw(name, about = {}, ...inside) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(about)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}
const link = (text, url) => make("a", { href: url, rel: "noreferrer" }, text);
const runUrl = (repository, id) => `${data.server}/${data.repositories[repository]}/actions/runs/${id}`;
const day = time => new Date(time * 1000).toISOString().slice(0, 10);
const minute = time => new Date(time * 1000).toISOString().slice(0, 16).replace("T", " ");

// -- figures
function quantile(sorted, q) {
  if (!sorted.length) return null;
  const at = (sorted.length - 1) * q, below = Math.floor(at), above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (at - below);
}
function duration(value) {
  const whole = Math.round(value);
  for (const [unit, name, small, minor, exact] of [[86400, "d", 3600, "h", 60], [3600, "h", 60, "m", 1], [60, "m", 1, "s", 1]]) {
    if (Math.round(whole / exact) * exact >= unit) {
      const units = Math.round(whole / small), per = unit / small, rest = units % per;
      return `${Math.floor(units / per)} ${name}` + (rest ? ` ${rest} ${minor}` : "");
    }
  }
  return `${whole} s`;
}
function shown(value, unit) {
  if (unit === "s") return duration(value);
  if (unit === "%") return `${value.toFixed(1)} %`;
  return unit === "1/week" ? `${value.toFixed(1)} a week` : value.toLocaleString("en");
}
function band(id, value) {
  if (!data.bands[id]) return "";
  const high = data.metrics[id].better === "high";
  for (const [name, worst] of data.bands[id]) if (high ? value >= worst : value <= worst) return name;
  return "low";
}
const least = () => chosen.days ? data.until - chosen.days * DAY : data.since;
const weeks = () => Math.max(data.until - least(), DAY) / (7 * DAY);
const here = (time, r, w, b) => time >= least() && time <= data.until && (chosen.repository < 0 || r === chosen.repository) &&
  (chosen.workflow < 0 || w === chosen.workflow) && (chosen.branch < 0 || b === chosen.branch);
const inRepository = (time, r) => time >= least() && time <= data.until && (chosen.repository < 0 || r === chosen.repository);

function compute() {
  const runs = [];
  for (let at = 0; at < size; at++) if (here(created[at], repo[at], flow[at], branch[at])) runs.push(at);
  const judged = runs.filter(at => result[at] < 2), passed = judged.filter(at => result[at] === 1);
  const times = passed.map(at => took[at]).sort((a, b) => a - b);
  const waits = data.queue.filter(each => here(each[0], each[1], each[2], each[3])).map(each => each[4]).sort((a, b) => a - b);
  const flaky = data.flaky.filter(each => here(each[0], each[1], each[2], each[3])), pairs = runs.filter(at => first[at]).length;
  const failed = data.failed.filter(each => here(each[0], each[1], each[2], each[3]));
  const deployed = data.deployments.filter(each => inRepository(each[1], each[0])), good = deployed.filter(each => each[4] !== 1);
  const numbers = rows => rows.filter(each => inRepository(each[1], each[0])).map(each => each[2]).sort((a, b) => a - b);
  const leads = numbers(data.leads), restores = numbers(data.restores);
  const merged = data.pulls.filter(each => inRepository(each[1], each[0])).length;
  const share = (part, whole) => whole ? 100 * part / whole : null;
  const values = {
    "success-rate": [share(passed.length, judged.length), judged.length],
    "duration-p50": [quantile(times, .5), times.length], "duration-p90": [quantile(times, .9), times.length],
    "flaky-rate": [share(flaky.length, pairs), pairs],
    "queue-p50": [quantile(waits, .5), waits.length], "queue-p90": [quantile(waits, .9), waits.length],
    "merged-per-week": [merged / weeks(), merged],
    "deployments-per-week": [good.length / weeks(), good.length],
    "lead-time-p50": [quantile(leads, .5), leads.length], "lead-time-p90": [quantile(leads, .9), leads.length],
    "change-failure-rate": [share(deployed.filter(each => each[4]).length, deployed.length), deployed.length],
    "restore-p50": [quantile(restores, .5), restores.length],
  };
  for (const [id, pair] of Object.entries(values)) if (pair[1] < data.metrics[id].needs) pair[0] = null;
  return { runs, judged, passed, flaky, failed, deployed, values };
}

// -- cards
function pullsLink() {
  const chosenOne = data.repositories.length === 1 ? 0 : chosen.repository;
  return chosenOne < 0 ? null : link("Merged pull requests", `${data.server}/${data.repositories[chosenOne]}/pulls?q=is%3Apr+is%3Amerged`);
}
function card(id, second, now, of, more) {
  const [value, n] = now.values[id], metric = data.metrics[id];
  const made = make("div", { class: "card", "data-metric": id, "data-value": value ?? "", "data-n": n });
  made.append(make("h3", {}, metric.title.replace(", median", "")));
  if (value === null) made.append(make("p", { class: "value few" }, n ? "too few to say" : "none"));
  else made.append(make("p", { class: "value" }, shown(value, metric.unit)));
  if (second) {
    const [other, m] = now.values[second];
    made.dataset.second = other ?? "";
    made.append(make("p", {}, `90th percentile: ${other === null ? (m ? "too few" : "none") : shown(other, metric.unit)}`));
  }
  if (value !== null && metric.target) {
    const met = value >= parseFloat(metric.target.slice(3));
    made.append(make("p", { class: met ? "met" : "missed" }, `target ${metric.target}`));
  }
  if (value !== null && band(id, value)) made.append(make("p", {}, `DORA band: ${band(id, value)}`));
  made.append(make("p", {}, `n = ${n.toLocaleString("en")}` + (value === null && n ? `, needs ${metric.needs}` : "")));
  if (of && of[1].length) {
    const words = `${of[0]} (${of[1].length.toLocaleString("en")})`;
    made.append(make("button", { type: "button", on: () => list(of[0], of[1]) }, words));
  }
  if (more) made.append(make("p", {}, more));
  return made;
}
const position = new Map();
for (let at = 0; at < size; at++) position.set(ids[at], at);
const known = numbers => [...new Set(numbers)].map(id => position.get(id)).filter(at => at !== undefined);

function cards(now) {
  const slow = now.passed.slice().sort((a, b) => took[b] - took[a]).slice(0, 500);
  by("health-cards").replaceChildren(
    card("success-rate", "", now, ["Failed runs", now.judged.filter(at => result[at] === 0)]),
    card("duration-p50", "duration-p90", now, ["Slowest runs", slow]),
    card("flaky-rate", "", now, ["Flaky runs", known(now.flaky.flatMap(each => each.slice(4)))]),
    card("queue-p50", "queue-p90", now, ["Runs that waited", known(data.queue.filter(each => here(each[0], each[1], each[2], each[3])).map(each => each[5]))]),
    card("merged-per-week", "", now, null, pullsLink()));
  const has = data.deployments.length > 0, runs = rows => known(rows.map(each => each[3]));
  by("records").textContent = has ? `Environment: ${data.environment}. Filters by workflow and branch do not apply.` : data.withoutRecords;
  by("dora-cards").replaceChildren(...(has ? [
    card("deployments-per-week", "", now, ["Deploying runs", runs(now.deployed.filter(each => each[4] !== 1))]),
    card("lead-time-p50", "lead-time-p90", now, ["Runs that brought them", runs(now.deployed.filter(each => each[4] !== 1))]),
    card("change-failure-rate", "", now, ["Failed deployments", runs(now.deployed.filter(each => each[4]))]),
    card("restore-p50", "", now, ["Runs that failed", runs(now.deployed.filter(each => each[4] === 1))])] : []));
}

// -- charts
const small = matchMedia("(max-width: 40rem)");
const H = 200, LEFT = 72, TOP = 26, BOTTOM = 172;
let W = 900, RIGHT = 890;
function buckets(now) {
  const from = least(), span = data.until - from, step = span <= 45 * DAY ? DAY : 7 * DAY;
  const count = Math.max(1, Math.ceil(span / step)), first = data.until - count * step;
  const made = Array.from({ length: count }, (_, at) => ({ start: first + at * step, end: first + (at + 1) * step, runs: [] }));
  for (const at of now.runs) made[Math.min(count - 1, Math.max(0, Math.ceil((created[at] - first) / step) - 1))].runs.push(at);
  return made;
}
function frame(some, top, label, title) {
  const chart = draw("svg", { viewBox: `0 0 ${W} ${H}`, role: "group", "aria-label": title });
  for (const part of [0, .5, 1]) {
    const y = BOTTOM - part * (BOTTOM - TOP);
    chart.append(draw("line", { class: "axis", x1: LEFT, x2: RIGHT, y1: y, y2: y }));
    chart.append(draw("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, label(top * part)));
  }
  const every = Math.ceil(some.length / (small.matches ? 4 : 8));
  some.forEach((each, at) => {
    if (at % every === 0 && x(some, at) < RIGHT - 40) {
      chart.append(draw("text", { x: x(some, at), y: H - 8 }, day(each.start + 1).slice(5)));
    }
  });
  return chart;
}
const width = some => (RIGHT - LEFT) / some.length;
const x = (some, at) => LEFT + at * width(some);
function hit(some, at, words, drawn) {
  const each = some[at];
  const area = draw("a", { href: "#list", "aria-label": `${day(each.start + 1)}: ${words}` }, draw("title", {}, `${day(each.start + 1)}: ${words}`), ...drawn);
  area.append(draw("rect", { class: "hit", x: x(some, at), y: TOP, width: width(some), height: BOTTOM - TOP }));
  area.addEventListener("click", event => { event.preventDefault(); list(`Runs from ${day(each.start + 1)} to ${day(each.end)}`, each.runs); });
  return area;
}
function charts(now) {
  [W, RIGHT] = small.matches ? [400, 392] : [900, 890];
  const some = buckets(now), n = (each, kind) => each.runs.filter(at => result[at] === kind).length;
  const most = Math.max(1, ...some.map(each => n(each, 0) + n(each, 1))), scale = (BOTTOM - TOP) / most;
  const results = frame(some, most, value => Math.round(value).toLocaleString("en"), "Runs that passed and failed, by time");
  some.forEach((each, at) => {
    const bad = n(each, 0) * scale, good = n(each, 1) * scale, inner = { x: x(some, at) + width(some) * .12, width: width(some) * .76 };
    results.append(hit(some, at, `${n(each, 1)} passed, ${n(each, 0)} failed`, [
      draw("rect", { class: "passed", ...inner, y: BOTTOM - good, height: good }),
      draw("rect", { class: "failed", ...inner, y: BOTTOM - good - bad, height: bad })]));
  });
  const from = some[0].start, all = data.until - from || 1, place = time => LEFT + (time - from) / all * (RIGHT - LEFT);
  for (const [r, at, sha, run, state, back] of now.deployed) {
    const words = ["deployed", "failed its gate", "deployed"][state] + (back ? `, rolled back at ${minute(back)}` : "");
    const mark = (time, down, say) => {
      const px = place(time), points = down ? `${px - 6},6 ${px + 6},6 ${px},18` : `${px - 6},18 ${px + 6},18 ${px},6`;
      const label = `${minute(time)}: ${data.repositories[r]} ${sha} ${say}`;
      const where = run ? runUrl(r, run) : `${data.server}/${data.repositories[r]}/deployments`;
      results.append(draw("a", { href: where, rel: "noreferrer", "aria-label": label, class: "deployment" },
        draw("title", {}, label), draw("polygon", { class: down ? "mark failed" : "mark passed", points })));
    };
    mark(at, state === 1, words);
    if (back) mark(back, true, "rolled back");
  }
  by("results-chart").replaceChildren(results);

  const sorted = some.map(each => each.runs.filter(at => result[at] === 1).map(at => took[at]).sort((a, b) => a - b));
  const lines = [["p50", .5, data.metrics["duration-p50"].needs], ["p90", .9, data.metrics["duration-p90"].needs]];
  const values = lines.map(([, q, needs]) => sorted.map(times => times.length < needs ? null : quantile(times, q)));
  const longest = Math.max(1, ...values.flat().map(value => value ?? 0));
  const chart = frame(some, longest, duration, "Duration of runs that passed, by time");
  lines.forEach(([name], number) => {
    let path = "", broken = true;
    values[number].forEach((value, at) => {
      if (value === null) { broken = true; return; }
      const px = x(some, at) + width(some) / 2, py = BOTTOM - value / longest * (BOTTOM - TOP);
      path += `${broken ? "M" : "L"}${px.toFixed(1)},${py.toFixed(1)}`;
      broken = false;
      chart.append(draw("circle", { class: name.replace("p", "dot"), cx: px, cy: py, r: 3 }));
    });
    if (path) chart.append(draw("path", { class: name, d: path }));
  });
  some.forEach((each, at) => {
    const [half, nine] = [values[0][at], values[1][at]];
    if (sorted[at].length) {
      const words = half === null ? `too few runs (${sorted[at].length})` : `median ${duration(half)}` + (nine === null ? "" : `, 90th percentile ${duration(nine)}`);
      chart.append(hit(some, at, words, []));
    }
  });
  by("duration-chart").replaceChildren(chart);
}

// -- tables
function head(...names) { return make("thead", {}, make("tr", {}, ...names.map(name => make("th", { scope: "col" }, name)))); }
function failing(now) {
  const flaky = new Set(now.flaky.flatMap(each => each.slice(4))), groups = new Map();
  for (const [, r, w, , step, run, green] of now.failed) {
    const key = `${r} ${w} ${step}`;
    if (!groups.has(key)) groups.set(key, { r, w, step, runs: new Map() });
    groups.get(key).runs.set(run, green);
  }
  const rows = [...groups.values()].sort((a, b) => b.runs.size - a.runs.size).slice(0, 15).map(each => {
    const times = [...each.runs.values()].filter(value => value !== null).sort((a, b) => a - b), numbers = [...each.runs.keys()].reverse();
    const cell = make("td", { class: "word" });
    numbers.slice(0, 3).forEach(run => cell.append(link(run, runUrl(each.r, run)), " "));
    if (numbers.length > 3) cell.append(make("button", { type: "button", on: () => list(data.steps[each.step], known(numbers)) }, `all ${numbers.length}`));
    return make("tr", {}, make("td", {}, data.repositories[each.r]), make("td", {}, data.workflows[each.w]), make("td", {}, data.steps[each.step]),
      make("td", {}, String(each.runs.size)), make("td", {}, String(numbers.filter(run => flaky.has(run)).length)),
      make("td", { class: "word" }, times.length ? duration(quantile(times, .5)) : "not yet"), cell);
  });
  by("steps").replaceChildren(head("Repository", "Workflow", "Job › step", "Failed", "Flaky", "Median until green", "Runs"), make("tbody", {}, ...rows));
}
function list(title, rows) {
  listing = { title, rows };
  page = 0;
  table();
  by("list").focus();
  by("list").scrollIntoView();
}
let current = null;
function table() {
  const rows = listing ? listing.rows : current.runs.slice().reverse(), pages = Math.max(1, Math.ceil(rows.length / PAGE));
  const part = rows.slice(page * PAGE, (page + 1) * PAGE);
  by("listed").textContent = `${listing ? listing.title : "All runs"}: ${rows.length.toLocaleString("en")}`;
  by("unlist").hidden = !listing;
  by("page").textContent = `page ${page + 1} of ${pages}`;
  by("newer").disabled = page === 0;
  by("older").disabled = page >= pages - 1;
  const extra = (...inside) => make("td", { class: "extra word" }, ...inside);
  const top = head("Created (UTC)", "Workflow", "Branch", "Result", "Took", "Run");
  top.querySelectorAll("th").forEach((each, at) => { if (at === 4) each.className = "extra"; });
  by("runs").replaceChildren(top, make("tbody", {}, ...part.map(at => make("tr", {},
    make("td", { class: "word" }, minute(created[at])), make("td", {}, data.workflows[flow[at]]), make("td", {}, data.branches[branch[at]]),
    make("td", { class: `word ${["red", "green", "", ""][result[at]]}` }, RESULTS[result[at]] + (attempt[at] > 1 ? `, attempt ${attempt[at]}` : "")),
    extra(result[at] === 3 ? "" : duration(took[at])),
    make("td", { class: "word" }, link(data.repositories.length > 1 ? `${data.repositories[repo[at]]} ${ids[at]}` : ids[at], runUrl(repo[at], ids[at])))))));
}

// -- filters, which the address keeps
function options(id, names, all) {
  const order = names.map((name, at) => [name, at]).sort((a, b) => a[0] < b[0] ? -1 : 1);
  by(id).replaceChildren(make("option", { value: "-1" }, all), ...order.map(([name, at]) => make("option", { value: at }, name || "(none)")));
}
function show() {
  current = compute();
  listing = null;
  page = 0;
  cards(current);
  charts(current);
  failing(current);
  table();
  by("state").textContent = `${current.runs.length.toLocaleString("en")} runs from ${day(least())} to ${day(data.until)}.`;
}
function remember() {
  const words = new URLSearchParams();
  for (const [key, names] of [["repository", data.repositories], ["workflow", data.workflows], ["branch", data.branches]]) {
    if (chosen[key] >= 0) words.set(key, names[chosen[key]]);
  }
  if (chosen.days) words.set("days", chosen.days);
  history.replaceState(null, "", "#" + words);
}
function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  for (const [key, names] of [["repository", data.repositories], ["workflow", data.workflows], ["branch", data.branches]]) {
    chosen[key] = words.has(key) ? names.indexOf(words.get(key)) : -1;
    by(key).value = chosen[key];
  }
  chosen.days = Math.max(0, parseInt(words.get("days"), 10) || 0);
  by("time").value = chosen.days;
  if (by("time").selectedIndex < 0) by("time").value = chosen.days = 0;
}
options("repository", data.repositories, "all repositories");
options("workflow", data.workflows, "all workflows");
options("branch", data.branches, "all branches");
const days = Math.round((data.until - data.since) / DAY);
by("time").append(make("option", { value: 0 }, `${days} days`), ...[7, 14, 30, 90].filter(some => some < days).map(some => make("option", { value: some }, `last ${some} days`)));
by("filters").addEventListener("change", () => {
  for (const key of ["repository", "workflow", "branch"]) chosen[key] = Number(by(key).value);
  chosen.days = Number(by("time").value);
  remember();
  show();
});
by("filters").addEventListener("reset", event => {
  event.preventDefault();
  Object.assign(chosen, { repository: -1, workflow: -1, branch: -1, days: 0 });
  remember();
  recall();
  show();
});
by("filters").addEventListener("submit", event => event.preventDefault());
by("unlist").addEventListener("click", () => { listing = null; page = 0; table(); by("list").focus(); });
by("newer").addEventListener("click", () => { page--; table(); });
by("older").addEventListener("click", () => { page++; table(); });
by("window").textContent = `Collected ${minute(data.until)} UTC. Links lead to the runs behind each number.`;
by("definitions").append(...Object.values(data.metrics).flatMap(each => [
  make("dt", {}, each.title), make("dd", {}, `${each.definition} Needs ${each.needs} samples.`), make("dd", {}, `What it is not: ${each.is_not}`)]));
if (data.leftOut.length) {
  by("left-out").append(make("h3", {}, "Left out"), make("ul", {}, ...data.leftOut.map(each => make("li", {}, each))));
}
small.addEventListener("change", () => charts(current));
addEventListener("hashchange", () => { recall(); show(); });
recall();
show();
})();
