"""What the page of a graph does by itself: zoom, pan, find, show what is known of a node.  Holds no value of any project."""

SCRIPT = """
(function () {
'use strict';
var root = document.documentElement, canvas = document.getElementById('canvas'), svg = canvas.querySelector('svg.dag');
var panel = document.getElementById('panel'), find = document.getElementById('find'), scene = document.getElementById('scene');
if (!svg) { return; }
root.classList.add('live');
var full = svg.viewBox.baseVal, wide = full.width, high = full.height, view = null, scale = 1;
var boxes = Array.prototype.slice.call(svg.querySelectorAll('g.box'));
var wires = Array.prototype.slice.call(svg.querySelectorAll('path[data-from]'));
var byId = new Map(), after = new Map(), before = new Map();
boxes.forEach(function (box) { byId.set(box.dataset.id, box); });
function put(map, key, value) { if (!map.has(key)) { map.set(key, []); } map.get(key).push(value); }
wires.forEach(function (wire) {
  if (wire.classList.contains('wire')) {
    put(after, wire.dataset.from, wire.dataset.to);
    put(before, wire.dataset.to, wire.dataset.from);
  }
});
svg.removeAttribute('width'); svg.removeAttribute('height');
function size() { return { w: canvas.clientWidth || 600, h: canvas.clientHeight || 400 }; }
function show() {
  var at = size();
  svg.setAttribute('viewBox', view.x + ' ' + view.y + ' ' + at.w / scale + ' ' + at.h / scale);
}
function fitting() { var at = size(); return Math.min(at.w / wide, at.h / high); }
function centre(x, y) { var at = size(); view = { x: x - at.w / scale / 2, y: y - at.h / scale / 2 }; show(); }
function fit() { scale = Math.min(fitting(), 1.5); centre(wide / 2, high / 2); }
function start() {
  canvas.style.height = 'min(72vh, ' + Math.ceil(high + 48) + 'px)';
  var at = size(), best = fitting();
  scale = Math.max(Math.min(best, 1), 0.6);
  if (best >= 0.6) { centre(wide / 2, high / 2); return; }
  var focus = svg.querySelector('g.target rect') || svg.querySelector('g.box rect');
  var box = focus.getBBox();
  view = {
    x: Math.max(0, Math.min(box.x + box.width / 2 - at.w / scale / 2, wide - at.w / scale)),
    y: Math.max(0, Math.min(box.y + box.height / 2 - at.h / scale / 2, high - at.h / scale))
  };
  if (wide <= at.w / scale) { view.x = wide / 2 - at.w / scale / 2; }
  if (high <= at.h / scale) { view.y = high / 2 - at.h / scale / 2; }
  show();
}
function zoom(by, x, y) {
  var at = size(), next = Math.min(4, Math.max(Math.min(fitting(), 1) / 2, scale * by));
  x = x === undefined ? at.w / 2 : x; y = y === undefined ? at.h / 2 : y;
  view.x += x / scale - x / next; view.y += y / scale - y / next; scale = next; show();
}
canvas.addEventListener('wheel', function (event) {
  if (!event.ctrlKey && !event.metaKey && event.deltaMode === 0 && Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    view.x += event.deltaX / scale; show();
  } else {
    var place = canvas.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX - place.left, event.clientY - place.top);
  }
  event.preventDefault();
}, { passive: false });
var held = null, moved = false;
canvas.addEventListener('pointerdown', function (event) {
  if (event.button === 0) { held = { x: event.clientX, y: event.clientY }; moved = false; }
});
window.addEventListener('pointermove', function (event) {
  if (!held) { return; }
  var x = event.clientX - held.x, y = event.clientY - held.y;
  if (!moved && Math.abs(x) + Math.abs(y) < 4) { return; }
  moved = true; view.x -= x / scale; view.y -= y / scale; held = { x: event.clientX, y: event.clientY };
  canvas.classList.add('held'); show();
});
window.addEventListener('pointerup', function () { held = null; canvas.classList.remove('held'); });
function reach(id, map) {
  var seen = new Set(), waiting = [id];
  while (waiting.length) {
    (map.get(waiting.pop()) || []).forEach(function (other) {
      if (!seen.has(other)) { seen.add(other); waiting.push(other); }
    });
  }
  return seen;
}
function choose(box, follow) {
  boxes.forEach(function (one) { one.classList.remove('chosen', 'far'); });
  wires.forEach(function (one) { one.classList.remove('near', 'far'); });
  panel.textContent = '';
  scene.classList.toggle('open', Boolean(box));
  show();
  if (!box) { return; }
  var id = box.dataset.id, up = reach(id, before), down = reach(id, after);
  boxes.forEach(function (one) {
    var other = one.dataset.id;
    if (one === box) { one.classList.add('chosen'); } else if (!up.has(other) && !down.has(other)) { one.classList.add('far'); }
  });
  wires.forEach(function (one) {
    var from = one.dataset.from, to = one.dataset.to;
    var near = (up.has(from) && (up.has(to) || to === id)) || ((down.has(from) || from === id) && down.has(to));
    one.classList.add(near ? 'near' : 'far');
  });
  var known = document.getElementById('d' + box.id.slice(1));
  if (known) { panel.appendChild(known.cloneNode(true)).removeAttribute('id'); }
  var place = box.querySelector('rect').getBBox(), frame = size(), margin = 24 / scale;
  view.x = Math.min(view.x, place.x - margin);
  view.x = Math.max(view.x, place.x + place.width + margin - frame.w / scale);
  show();
  if (follow) { var at = box.querySelector('rect').getBBox(); centre(at.x + at.width / 2, at.y + at.height / 2); }
}
canvas.addEventListener('click', function (event) {
  if (moved) { moved = false; return; }
  choose(event.target.closest ? event.target.closest('g.box') : null, false);
});
canvas.addEventListener('keydown', function (event) {
  var box = event.target.closest && event.target.closest('g.box'), step = 60 / scale, known = true;
  if (event.key === 'Enter' && box) { choose(box, true); }
  else if (event.key === 'Escape') { choose(null); }
  else if (event.key === '+' || event.key === '=') { zoom(1.25); }
  else if (event.key === '-') { zoom(0.8); }
  else if (event.key === '0') { fit(); }
  else if (event.key === 'ArrowLeft') { view.x -= step; show(); }
  else if (event.key === 'ArrowRight') { view.x += step; show(); }
  else if (event.key === 'ArrowUp') { view.y -= step; show(); }
  else if (event.key === 'ArrowDown') { view.y += step; show(); }
  else { known = false; }
  if (known) { event.preventDefault(); }
});
document.getElementById('in').addEventListener('click', function () { zoom(1.25); });
document.getElementById('out').addEventListener('click', function () { zoom(0.8); });
document.getElementById('fit').addEventListener('click', fit);
find.addEventListener('input', function () {
  var word = find.value.trim().toLowerCase(), hit = null, count = 0;
  boxes.forEach(function (box) {
    var is = word !== '' && box.textContent.toLowerCase().indexOf(word) >= 0;
    box.classList.toggle('found', is);
    if (is) { count += 1; hit = hit || box; }
  });
  document.getElementById('hits').textContent = word === '' ? '' : count + (count === 1 ? ' match' : ' matches');
  if (hit) { choose(hit, true); } else { choose(null); }
});
window.addEventListener('resize', function () { if (view) { show(); } });
start();
}());
"""
