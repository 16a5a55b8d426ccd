"use strict";
(() => {
  const clip = JSON.parse(document.getElementById("clip").textContent);
  const audio = document.getElementById("audio");
  const readout = document.getElementById("readout");
  const panels = document.getElementById("panels");
  const areas = [...document.querySelectorAll(".area")];
  const STEP_S = 0.1;
  let now_s = clip.start_s;
  let hovered = null; // position of the pointer
  let stop_s = null; // end of the event being played
  let bin = Math.floor(clip.mel_hz.length / 2); // mel bin that the keyboard reads

  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const share = (time_s) => (time_s - clip.start_s) / (clip.end_s - clip.start_s);
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  // Maps: quantised values (frames by rows), unpacked when first needed.
  const unpacked = new Map();
  function unpack(name) {
    if (!unpacked.has(name)) {
      const { data, low, step, root } = clip.maps[name];
      const levels = new Uint16Array(bytes(data).buffer);
      unpacked.set(name, Float32Array.from(levels, (q) => (root ? (step * q) ** 2 : low + step * q)));
    }
    return unpacked.get(name);
  }
  const rowsOf = (values) => values.length / clip.n_frames;

  function frameAt(time_s) {
    const frame = Math.floor((time_s - clip.first_edge_s) / clip.hop_s);
    return frame >= 0 && frame < clip.n_frames ? frame : null;
  }

  // Drawing: one pixel per value; the style sheet stretches the canvas.
  function draw(area) {
    area.dataset.drawn = "yes";
    const canvas = area.querySelector("canvas");
    if (!canvas) return; // a curve, which needs no script
    const { map, colours, low, high, root } = area.dataset;
    const values = unpack(map);
    const rows = rowsOf(values);
    const table = bytes(clip.colours[colours]);
    canvas.width = clip.n_frames;
    canvas.height = rows;
    const context = canvas.getContext("2d");
    const image = context.createImageData(clip.n_frames, rows);
    for (let frame = 0; frame < clip.n_frames; frame += 1) {
      for (let row = 0; row < rows; row += 1) {
        const level = clamp((values[frame * rows + row] - low) / (high - low), 0, 1);
        const colour = 3 * Math.round(255 * (root === "1" ? Math.sqrt(level) : level));
        const pixel = 4 * ((rows - 1 - row) * clip.n_frames + frame);
        image.data.set([table[colour], table[colour + 1], table[colour + 2], 255], pixel);
      }
    }
    context.putImageData(image, 0, 0);
  }
  function drawShown() {
    for (const area of areas) {
      if (!area.dataset.drawn && !area.closest("[hidden]")) draw(area);
    }
  }

  // Reading values.
  function describe(area, time_s, row) {
    const values = unpack(area.dataset.map);
    const rows = rowsOf(values);
    const frame = frameAt(time_s);
    const name = area.getAttribute("aria-label");
    const parts = [`${time_s.toFixed(3)} s`];
    if (rows > 1) parts.push(`${Math.round(clip.mel_hz[row]).toLocaleString("en")} Hz`);
    parts.push(
      frame === null
        ? `${name}: outside of the frames`
        : `${name}: ${values[frame * rows + row].toPrecision(3)} ${area.dataset.unit}`,
    );
    return parts.join(" · ");
  }
  function rowAt(area, y) {
    const rows = rowsOf(unpack(area.dataset.map));
    return rows === 1 ? 0 : clamp(Math.floor((1 - y) * rows), 0, rows - 1);
  }
  function readPlayhead() {
    const area = document.activeElement;
    let text = `${now_s.toFixed(3)} s`;
    if (area && area.classList.contains("area")) {
      text = describe(area, now_s, rowsOf(unpack(area.dataset.map)) > 1 ? bin : 0);
      area.setAttribute("aria-valuenow", now_s.toFixed(3));
      area.setAttribute("aria-valuetext", text);
    }
    readout.textContent = hovered ?? text;
  }

  // The playhead follows the audio; the audio follows clicks and keys.
  function follow() {
    now_s = clamp(clip.start_s + audio.currentTime, clip.start_s, clip.audio_end_s);
    if (stop_s !== null && now_s >= stop_s) audio.pause();
    panels.style.setProperty("--playhead", `${100 * share(now_s)}%`);
    turnPage();
    readPlayhead();
  }
  // If a recording is wider than the page, keep the playhead in view.
  function turnPage() {
    if (panels.scrollWidth <= panels.clientWidth) return;
    const map = areas[0].getBoundingClientRect();
    const left = panels.getBoundingClientRect().left + areas[0].offsetLeft - areas[0].parentElement.offsetLeft;
    const right = panels.getBoundingClientRect().right;
    const x = map.left + share(now_s) * map.width;
    if (x < left || x > right) panels.scrollLeft += x - left;
  }
  function whilePlaying() {
    follow();
    if (!audio.paused) requestAnimationFrame(whilePlaying);
  }
  function seek(time_s) {
    stop_s = null;
    audio.currentTime = clamp(time_s, clip.start_s, clip.audio_end_s) - clip.start_s;
    follow();
  }
  const toggle = () => (audio.paused ? audio.play() : audio.pause());
  audio.addEventListener("play", whilePlaying);
  audio.addEventListener("pause", () => {
    stop_s = null;
  });
  for (const event of ["timeupdate", "seeked", "ended"]) audio.addEventListener(event, follow);

  for (const button of document.querySelectorAll("button[data-onset]")) {
    button.addEventListener("click", () => {
      seek(Number(button.dataset.onset));
      stop_s = Number(button.dataset.offset);
      audio.play();
    });
  }

  // Choice of classes.
  for (const box of document.querySelectorAll("fieldset input")) {
    box.addEventListener("change", () => {
      for (const element of panels.querySelectorAll("[data-class]")) {
        if (element.dataset.class === box.value) element.hidden = !box.checked;
      }
      drawShown();
    });
  }

  // Pointer.
  for (const area of areas) {
    const place = (event) => {
      const box = area.getBoundingClientRect();
      const x = clamp((event.clientX - box.left) / box.width, 0, 1);
      const time_s = clip.start_s + x * (clip.end_s - clip.start_s);
      return { time_s, row: rowAt(area, (event.clientY - box.top) / box.height) };
    };
    const read = (event) => {
      const { time_s, row } = place(event);
      panels.style.setProperty("--hover", `${100 * share(time_s)}%`);
      hovered = describe(area, time_s, row);
      readout.textContent = hovered;
    };
    area.addEventListener("pointermove", read);
    area.addEventListener("pointerleave", () => {
      hovered = null;
      panels.style.removeProperty("--hover");
      readPlayhead();
    });
    area.addEventListener("click", (event) => {
      const { time_s, row } = place(event);
      bin = rowsOf(unpack(area.dataset.map)) > 1 ? row : bin;
      seek(time_s);
    });
    area.addEventListener("focus", readPlayhead);
  }

  // Keyboard.
  function moveInArea(area, key) {
    if (key === "Home") seek(clip.start_s);
    else if (key === "End") seek(clip.audio_end_s);
    else if (area.classList.contains("mel") && (key === "ArrowUp" || key === "ArrowDown")) {
      bin = clamp(bin + (key === "ArrowUp" ? 1 : -1), 0, clip.mel_hz.length - 1);
      readPlayhead();
    } else return false;
    return true;
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target === audio) return;
    const area = event.target.closest(".area");
    const presses = event.target.closest("button, input, a");
    if (event.key === " " && !presses) toggle();
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const step_s = event.shiftKey ? clip.hop_s : STEP_S;
      seek(now_s + (event.key === "ArrowLeft" ? -step_s : step_s));
    } else if (!area || !moveInArea(area, event.key)) return;
    event.preventDefault();
  });

  drawShown();
  follow();
})();
