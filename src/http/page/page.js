// How does the page stay up to date? Each event brings texts that the relay has worded; they are put into their places, and
// nothing is made anew that is there already. Durations run down in between. Every text goes in as text, never as markup.
"use strict";
(() => {
  const root = document.documentElement;
  const [rows, live, lost, box] = ["rows", "live", "lost", "search"].map(id => document.getElementById(id));
  const SILENCE = 13000; // three beats of the relay, and a second
  const AGAIN = 2000;
  const ends = new WeakMap(); // when the duration that an element shows is over
  let heardAt = Date.now(), isLost = false, hasMore = false, asked, source, timer;

  // --- putting things into their places

  const field = (el, name) => el.querySelector(`[data-f="${name}"]`);
  const say = (el, text) => { if (el.textContent !== text) el.textContent = text; };
  const put = (el, attribute, value) => {
    if (el.getAttribute(attribute) !== String(value)) el.setAttribute(attribute, value);
  };
  const style = (el, names) => put(el, "class", names);
  const make = id => document.getElementById(id).content.firstElementChild.cloneNode(true);

  /** As many children of `parent` as there are `items`, each filled in. */
  function fill(parent, template, items, patch) {
    while (parent.children.length > items.length) parent.lastElementChild.remove();
    while (parent.children.length < items.length) parent.append(make(template));
    items.forEach((item, place) => patch(parent.children[place], item));
  }

  // --- durations and bars, which run down by themselves

  const units = root.dataset.units.split(",");
  function duration(seconds) {
    const [d, h, min] = [86400, 3600, 60].map(unit => Math.floor(seconds / unit));
    const parts = d ? [d, h % 24] : h ? [h, min % 60] : min >= 10 ? [min] : min ? [min, seconds % 60] : [seconds];
    const first = d ? 0 : h ? 1 : min ? 2 : 3;
    return parts.map((part, place) => `${part} ${units[first + place]}`).join(" ");
  }

  function show(el, shown) {
    if (shown.ms === undefined) {
      el.removeAttribute("data-ms");
      return say(el, shown.text);
    }
    ends.set(el, Date.now() + shown.ms);
    put(el, "data-ms", "");
    run(el);
  }
  const run = el => say(el, duration(Math.max(0, Math.floor((ends.get(el) - Date.now()) / 1000))));

  function draw(svg, bar) {
    const share = part => (bar.life ? Math.min(1000, Math.round((part * 1000) / bar.life)) : 0);
    ends.set(svg, { at: Date.now() + bar.left, life: bar.life });
    put(svg.lastElementChild, "x", share(bar.mark));
    put(svg.lastElementChild, "width", share(bar.mark) ? 6 : 0);
    drain(svg);
  }
  function drain(svg) {
    const { at, life } = ends.get(svg);
    const left = life ? Math.max(0, Math.min(1000, Math.round(((at - Date.now()) * 1000) / life))) : 0;
    put(svg.children[1], "width", left);
  }

  function runDown() {
    if (isLost) return; // what was promised may not be true any more
    document.querySelectorAll("[data-ms]").forEach(run);
    document.querySelectorAll("svg.bar").forEach(drain);
  }

  // --- what there is to show

  const local = at => new Date(at).toLocaleString(root.lang);
  function tick(el, { kind, at, text }) {
    style(el, kind);
    put(el, "title", `${local(at)} ${text}`);
  }

  function life(el, cell) {
    draw(el.querySelector(".bar"), cell.bar);
    show(field(el, "left"), cell.left);
    fill(el.querySelector(".ticks"), "tick", cell.ticks, tick);
    say(field(el, "state"), cell.state);
  }

  function cell(el, cell) {
    style(el, `cell ${cell.severity}`);
    life(el, cell);
    for (const name of ["kind", "message", "advice"]) say(field(el, name), cell[name]);
    fill(el.querySelector("dl"), "fact", cell.facts, (el, [label, value]) => {
      say(field(el, "label"), label);
      show(field(el, "value"), value);
    });
  }

  function row(el, row) {
    const summary = el.firstElementChild;
    const [token, ...tickets] = row.cells;
    style(el, `row ${row.severity}`);
    for (const name of ["name", "calls", "lease", "brief"]) say(field(summary, name), row[name]);
    field(summary, "calls").classList.toggle("many", row.many_calls);
    life(summary, token);
    show(field(summary, "renewal"), token.renewal);
    fill(summary.querySelector(".chips"), "chip", tickets, (el, ticket) => {
      style(el, `chip ${ticket.severity}`);
      say(el, ticket.kind);
    });
    fill(el.querySelector(".cells"), "cell", row.cells, cell);
  }

  function head(head) {
    document.title = head.title;
    say(document.getElementById("status"), head.status);
    style(document.getElementById("status"), `pill ${head.readiness}`);
    document.body.classList.toggle("several", head.several);
    [...document.getElementById("counts").children].forEach((el, place) => {
      say(el.firstElementChild, String(head.counts[place]));
      el.classList.toggle("empty", head.counts[place] === 0);
    });
    document.getElementById("todo").hidden = head.notices.length === 0;
    fill(document.getElementById("notices"), "notice", head.notices, (el, line) => {
      style(el, `notice ${line.severity}`);
      for (const name of ["title", "names", "advice"]) say(field(el, name), line[name]);
    });
    say(document.getElementById("unseen"), head.unseen);
    hasMore = head.unseen !== "" || asked !== "";
    if (head.version !== root.dataset.version) location.reload(); // an upgrade: this script may be of the last one
  }

  /** Moves what stands elsewhere, and leaves the rest alone: an unfolded line stays unfolded. */
  function arrange(names) {
    const known = new Map([...rows.children].map(el => [el.dataset.name, el]));
    let at = rows.firstElementChild;
    for (const name of names) {
      let el = known.get(name);
      if (!el) {
        el = make("row");
        put(el, "data-name", name);
      }
      known.delete(name);
      if (el === at) at = at.nextElementSibling;
      else rows.insertBefore(el, at);
    }
    known.forEach(el => el.remove());
  }

  function update({ head: changed, order, rows: changes }) {
    if (order) arrange(order);
    const known = new Map([...rows.children].map(el => [el.dataset.name, el]));
    changes.forEach(change => known.has(change.name) && row(known.get(change.name), change));
    if (changed) head(changed);
    if (order) search();
  }

  // --- the search

  const wanted = () => box.value.trim().toLowerCase();
  function search() {
    let found = 0;
    for (const el of rows.children) {
      el.hidden = !el.dataset.name.includes(wanted());
      found += !el.hidden;
    }
    document.getElementById("none").hidden = found > 0;
  }

  box.addEventListener("input", () => {
    search();
    const query = new URLSearchParams(location.search);
    if (wanted()) query.set("q", wanted());
    else query.delete("q");
    history.replaceState(null, "", `?${query}`);
    document.querySelectorAll("nav a").forEach(link => {
      query.set("lang", link.lang);
      link.href = `?${query}`;
    });
    clearTimeout(timer);
    if (hasMore) timer = setTimeout(connect, 300); // the relay searches where not all are here
  });
  box.form.addEventListener("submit", event => event.preventDefault());
  addEventListener("keydown", event => {
    if (event.key === "/" && document.activeElement !== box) {
      event.preventDefault();
      box.focus();
    }
  });

  // --- the connection

  function heard() {
    heardAt = Date.now();
    isLost = false;
    lost.hidden = true;
    document.body.classList.remove("stale");
    style(live, "connected");
    say(document.getElementById("as-of"), local(heardAt));
  }

  function lose() {
    if (isLost) return;
    isLost = true;
    say(lost.querySelector("time"), local(heardAt));
    lost.hidden = false;
    document.body.classList.add("stale");
    style(live, "waiting");
  }

  function connect() {
    source?.close();
    asked = hasMore ? wanted() : "";
    const query = asked && `&q=${encodeURIComponent(asked)}`;
    source = new EventSource(`events?lang=${root.lang}${query}`);
    source.addEventListener("message", event => {
      heard();
      update(JSON.parse(event.data));
    });
    source.addEventListener("beat", heard);
    source.addEventListener("error", ({ target }) => {
      if (target !== source) return;
      lose();
      if (target.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN); // refused: it would not try again
    });
  }

  setInterval(() => {
    runDown();
    if (Date.now() - heardAt > SILENCE) {
      lose();
      heardAt = Date.now(); // the time that is shown is set already
      connect();
    }
  }, 1000);

  // What the relay has written runs down from here on.
  document.querySelectorAll("[data-ms]").forEach(el => ends.set(el, Date.now() + Number(el.dataset.ms)));
  document.querySelectorAll("svg.bar").forEach(svg => {
    ends.set(svg, { at: Date.now() + Number(svg.dataset.left), life: Number(svg.dataset.life) });
  });
  document.querySelectorAll(".ticks i").forEach(el => {
    const [at, ...text] = el.title.split(" ");
    put(el, "title", `${local(at)} ${text.join(" ")}`);
  });
  hasMore = document.getElementById("unseen").textContent !== "" || new URLSearchParams(location.search).has("q");
  connect();
})();
