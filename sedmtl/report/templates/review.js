"use strict";
(() => {
  const review = JSON.parse(document.getElementById("review").textContent);
  const snippets = review.snippets;
  const byId = (id) => document.getElementById(id);
  const audio = byId("audio");
  const choice = byId("class");
  const KEY = `sedmtl-review-${review.name}`;
  const SPEEDS = [1, 1.5, 2, 0.5];
  const CONTEXT_S = 1; // played before the event
  const SHORTEST_S = 0.01;
  const isServed = location.protocol.startsWith("http");
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  // Verdicts: `log` in the order in which they were given. Those that the server has not confirmed,
  // without one all, are kept in the browser.
  const log = review.log.map((each) => ({ ...each, line: null }));
  let isKept = true;
  try {
    log.push(...JSON.parse(localStorage.getItem(KEY) ?? "[]"));
  } catch {
    isKept = false;
  }
  const waiting = () => log.filter((each) => each.line !== null);
  function keep() {
    try {
      localStorage.setItem(KEY, JSON.stringify(waiting()));
      isKept = true;
    } catch {
      isKept = false;
    }
  }
  function verdictOf(index) {
    const given = [];
    for (const each of log) {
      if (each.snippet !== index) continue;
      if (each.verdict === "undo") given.pop();
      else given.push(each);
    }
    return given.at(-1);
  }

  const cell = (text) => (/["\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const seconds = (time_s) => (time_s === null ? "" : time_s.toFixed(3));
  function lineOf({ snippet, verdict, label, onset, offset }) {
    const heard = [verdict, cell(label), seconds(onset), seconds(offset)];
    const { head, tail } = snippets[snippet];
    return [head, ...heard, tail, new Date().toISOString()].join("\t");
  }

  let isSending = false;
  async function send() {
    if (!isServed || isSending) return;
    isSending = true;
    let problem = "";
    for (let unsent = waiting(); unsent.length && !problem; unsent = waiting()) {
      try {
        const answer = await fetch("reviews", {
          method: "POST",
          headers: { "Content-Type": "text/tab-separated-values" },
          body: unsent.map((each) => each.line).join("\n"),
        });
        if (!answer.ok) problem = await answer.text();
        else for (const each of unsent) each.line = null;
      } catch {
        problem = "the command 'sedmtl review' does not answer";
      }
      keep();
    }
    isSending = false;
    report(problem);
  }
  function report(problem) {
    const n = waiting().length;
    const kept = isKept ? "they are kept in this browser" : "keep this page open";
    const remedy = "save them as a file, for sedmtl review --merge";
    byId("trouble").textContent =
      problem || (!isKept && n) ? `${n} not saved${problem && `: ${problem}`}; ${kept}, or ${remedy}.` : "";
  }
  function record(entry) {
    log.push({ ...entry, line: lineOf(entry) });
    keep();
    send();
    report("");
  }
  function saveFile() {
    const lines = waiting().map((each) => each.line);
    const content = [review.columns, ...lines, ""].join("\n");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type: "text/tab-separated-values" }));
    link.download = "reviews.tsv";
    link.click();
    say(`${lines.length} verdicts in reviews.tsv: read them in with sedmtl review --merge.`);
  }

  // The snippet that is shown. Its event, [onset, offset], is what a yes is about; null as long as
  // nobody has marked it in a recording that is asked about as a whole.
  let now = 0;
  let event_s = null;
  let stop_s = null;
  const shown = () => snippets[now];
  const share = (time_s) => (100 * (time_s - shown().start)) / (shown().end - shown().start);
  const span = ([onset_s, offset_s]) => `${onset_s.toFixed(2)} to ${offset_s.toFixed(2)} s`;
  const say = (text) => {
    byId("status").textContent = text;
  };

  function question() {
    const { label, isWhole, event } = shown();
    return isWhole ? `${label} anywhere in this recording?` : `${label}, ${span(event)}?`;
  }
  function drawEvent() {
    const { event, start, end } = shown();
    const [onset_s, offset_s] = event_s ?? event ?? [start, end];
    const box = byId("event");
    box.hidden = !event_s && !event;
    box.className = event_s ? "event" : "event guess";
    box.style.left = `${share(onset_s)}%`;
    box.style.width = `${share(offset_s) - share(onset_s)}%`;
    for (const [id, time_s] of [["onset", onset_s], ["offset", offset_s]]) {
      const edge = byId(id);
      edge.style.left = `${clamp(share(time_s), 0, 100)}%`;
      edge.setAttribute("aria-valuemin", start.toFixed(2));
      edge.setAttribute("aria-valuemax", end.toFixed(2));
      edge.setAttribute("aria-valuenow", time_s.toFixed(2));
      edge.setAttribute("aria-valuetext", `${time_s.toFixed(2)} seconds`);
    }
    byId("times").textContent = event_s ? span(event_s) : event ? `proposed: ${span(event)}` : "";
  }
  function drawCurve() {
    const { first, hop, scores, threshold, label } = shown();
    const points = scores.map((score, i) => {
      return `${(10 * share(first + (i + 0.5) * hop)).toFixed(1)},${(100 - 100 * score).toFixed(1)}`;
    });
    const curve = byId("curve");
    curve.querySelector("polyline").setAttribute("points", points.join(" "));
    for (const y of ["y1", "y2"]) curve.querySelector("line").setAttribute(y, 100 - 100 * threshold);
    curve.parentElement.hidden = threshold === null;
    if (threshold === null) return;
    const highest = Math.max(0, ...scores).toFixed(2);
    byId("curve-title").textContent =
      `Scores of ${label} over time, at most ${highest}, threshold ${threshold.toFixed(2)}`;
  }
  function drawProgress() {
    const n = snippets.filter((_, i) => verdictOf(i)).length;
    byId("progress").value = n;
    byId("count").textContent = `${n} of ${snippets.length}`;
    const given = verdictOf(now);
    for (const button of document.querySelectorAll("[data-answer]")) {
      button.setAttribute("aria-pressed", String(given?.verdict === button.dataset.answer));
    }
    return n;
  }
  function show(index, isFirst = false) {
    now = index;
    const { sound, picture, pictureStart, pictureEnd, start, end, file, run, score } = shown();
    const given = verdictOf(now);
    event_s = given && given.onset !== null ? [given.onset, given.offset] : shown().isWhole ? null : [...shown().event];
    stop_s = null;
    audio.src = sound;
    audio.playbackRate = audio.defaultPlaybackRate;
    choice.value = given?.verdict === "other" ? given.label : "";
    const image = byId("picture");
    image.src = picture;
    image.alt = `Log-mel of ${file}`;
    image.style.left = `${share(pictureStart)}%`;
    image.style.width = `${share(pictureEnd) - share(pictureStart)}%`;
    byId("question").textContent = question();
    byId("facts").textContent = `${file} · score ${score.toFixed(2)} · ${run}`;
    byId("start").textContent = `${start.toFixed(2)} s`;
    byId("end").textContent = `${end.toFixed(2)} s`;
    drawEvent();
    drawCurve();
    drawProgress();
    follow();
    if (isFirst) return;
    const before = given ? ` Your verdict: ${given.verdict}.` : "";
    say(`${now + 1} of ${snippets.length}: ${question()}${before}`);
    playFrom(event_s ? event_s[0] - CONTEXT_S : start);
  }

  // Sound.
  function playFrom(time_s, until_s = null) {
    audio.currentTime = clamp(time_s - shown().start, 0, shown().end - shown().start);
    stop_s = until_s;
    audio.play().catch(() => {}); // browsers want a key or a click before the first sound
  }
  function follow() {
    const time_s = shown().start + audio.currentTime;
    if (stop_s !== null && time_s >= stop_s) {
      audio.pause();
      stop_s = null;
    }
    byId("figure").style.setProperty("--playhead", `${clamp(share(time_s), 0, 100)}%`);
    if (!audio.paused) requestAnimationFrame(follow);
  }
  for (const name of ["play", "seeked", "ended", "timeupdate"]) audio.addEventListener(name, follow);

  // Verdicts and ways.
  function next() {
    const after = snippets.map((_, i) => (now + 1 + i) % snippets.length);
    const open = after.find((i) => !verdictOf(i));
    if (open !== undefined) show(open);
    else {
      audio.pause();
      show(now, true);
      say(
        isServed
          ? "All snippets have a verdict. End the review with Ctrl-C in the terminal."
          : "All snippets have a verdict. Save them as a file.",
      );
    }
  }
  function answer(verdict) {
    const { label } = shown();
    const heard = verdict === "yes" ? label : verdict === "other" ? choice.value : "";
    if (verdict === "other" && (!heard || heard === label)) {
      choice.focus();
      say("Choose the class that you hear, then press Enter.");
      return;
    }
    const [onset, offset] = heard && event_s ? event_s : [null, null];
    record({ snippet: now, verdict, label: heard, onset, offset });
    if (document.activeElement === choice) choice.blur();
    next();
  }
  function undo() {
    const done = log.filter((_, i) => log[i].verdict !== "undo" && isStanding(i));
    const last = done.at(-1);
    if (!last) {
      say("There is nothing to undo.");
      return;
    }
    record({ snippet: last.snippet, verdict: "undo", label: "", onset: null, offset: null });
    show(last.snippet);
    say(`Undone: ${last.verdict}. ${question()}`);
  }
  function isStanding(place) {
    const stack = [];
    log.forEach((each, i) => {
      if (each.snippet !== log[place].snippet) return;
      if (each.verdict === "undo") stack.pop();
      else stack.push(i);
    });
    return stack.includes(place);
  }
  function move(edge, step_s) {
    const { start, end, event } = shown();
    event_s = event_s ?? (event ? [...event] : [start, end]);
    const low = edge ? event_s[0] + SHORTEST_S : start;
    const high = edge ? end : event_s[1] - SHORTEST_S;
    event_s[edge] = clamp(event_s[edge] + step_s, low, high);
    drawEvent();
  }
  const acts = {
    play: () => (audio.paused ? playFrom(shown().start + (audio.ended ? 0 : audio.currentTime)) : audio.pause()),
    replay: () => {
      const [onset_s, offset_s] = event_s ?? shown().event ?? [shown().start, shown().end];
      playFrom(onset_s, offset_s);
    },
    speed: () => {
      const speed = SPEEDS[(SPEEDS.indexOf(audio.playbackRate) + 1) % SPEEDS.length];
      audio.playbackRate = audio.defaultPlaybackRate = speed;
      byId("speed").textContent = speed;
      say(`Speed ${speed}`);
    },
    back: () => show((now + snippets.length - 1) % snippets.length),
    skip: () => show((now + 1) % snippets.length),
    undo,
    save: saveFile,
  };
  for (const button of document.querySelectorAll("[data-act]")) {
    button.addEventListener("click", () => acts[button.dataset.act]());
  }
  for (const button of document.querySelectorAll("[data-answer]")) {
    button.addEventListener("click", () => answer(button.dataset.answer));
  }

  // Keyboard.
  const KEYS = {
    " ": acts.play, r: acts.replay, f: acts.speed, z: undo, Backspace: undo,
    y: () => answer("yes"), n: () => answer("no"), u: () => answer("unsure"), o: () => answer("other"),
    ArrowLeft: acts.back, ArrowRight: acts.skip,
  };
  const MOVES = { a: [0, -1], s: [0, 1], k: [1, -1], l: [1, 1] };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const step_s = event.shiftKey ? 0.01 : 0.1;
    const { target } = event;
    if (target === choice) {
      if (key === "Enter") answer("other");
      else if (key === "Escape") choice.blur();
      else return;
    } else if (target.classList.contains("edge") && key.startsWith("Arrow")) {
      const isLater = key === "ArrowRight" || key === "ArrowUp";
      move(Number(target.id === "offset"), isLater ? step_s : -step_s);
    } else if (key === " " && target.closest("button, summary")) return;
    else if (MOVES[key]) move(MOVES[key][0], MOVES[key][1] * step_s);
    else if (KEYS[key]) KEYS[key]();
    else return;
    event.preventDefault();
  });

  // Pointer.
  const timeAt = (pointer) => {
    const box = byId("map").getBoundingClientRect();
    return shown().start + ((pointer.clientX - box.left) / box.width) * (shown().end - shown().start);
  };
  byId("map").addEventListener("click", (pointer) => playFrom(timeAt(pointer)));
  for (const edge of document.querySelectorAll(".edge")) {
    const which = Number(edge.id === "offset");
    edge.addEventListener("pointerdown", (pointer) => edge.setPointerCapture(pointer.pointerId));
    edge.addEventListener("pointermove", (pointer) => {
      if (!edge.hasPointerCapture(pointer.pointerId)) return;
      const { start, end, event } = shown();
      move(which, timeAt(pointer) - (event_s ?? event ?? [start, end])[which]);
    });
  }

  const open = snippets.findIndex((_, i) => !verdictOf(i));
  show(Math.max(open, 0), true);
  send();
})();
