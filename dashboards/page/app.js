// Brings the live stream to the figures, the map and the list.

import { Figures } from './figures.js';
import { Fleet } from './fleet.js';
import { loadGround } from './ground.js';
import { FleetMap } from './map.js';
import { follow } from './stream.js';
import { Triggers } from './triggers.js';
import { ago, el, measure, moment } from './words.js';

const get = (id) => document.getElementById(id);
const LINK = { connecting: 'Connecting…', live: 'Live', lost: 'Disconnected, trying again' };
const TRACK_MS = 6 * 3600 * 1000;
const TIP_ROWS = 6;

const figures = new Figures();
const fleet = new Fleet();
const map = new FleetMap(fleet, get('ground'), get('fleet'));
const triggers = new Triggers(get('list'), get('none'), get('announce'));

// The server's clock need not be ours: it may even run faster.
let now = Date.now();
let hovered = null;

const takers = {
  status(status) {
    now = Date.parse(status.now);
    figures.take(status);
    triggers.age(now);
    get('clock').textContent = moment(status.now);
    get('clock').dateTime = status.now;
  },
  fleet(frame) {
    const first = fleet.devices.size === 0;
    fleet.take(frame, performance.now());
    if (first) map.fit(false);
    const off = fleet.offMap();
    get('off-map').textContent = off ? `${off} beyond the map` : '';
    if (map.selected) showDevice(fleet.devices.get(map.selected));
    if (hovered) showTip();
    map.wake();
  },
  trigger(trigger) {
    triggers.take([trigger], true);
    triggers.age(now);
  },
};

async function latestTriggers() {
  const answer = await fetch('/v1/triggers?limit=50');
  if (!answer.ok) return;
  triggers.take((await answer.json()).triggers, false);
  triggers.age(now);
}

follow(Object.keys(takers), (event, data) => takers[event](data), (state) => {
  document.body.dataset.link = state;
  get('link').textContent = LINK[state];
  // What was missed meanwhile.
  if (state === 'live') latestTriggers().catch(() => {});
});

loadGround().then((ground) => {
  fleet.ground = ground;
  get('credit').textContent = ground.credit;
  if (map.touched) map.clamp();
  else map.fit(false);
  map.redraw();
}, (error) => {
  get('credit').textContent = error.message;
});

function values({ reading }) {
  const hidden = ['device', 'kind', 'ts', 'seq', 'lat', 'lon', 'accuracy_m'];
  return Object.entries(reading).filter(([name]) => !hidden.includes(name)).map(([name, value]) => measure(name, value));
}

function card(device, rows) {
  const list = el('dl');
  for (const [what, value] of rows) list.append(el('dt', '', what), el('dd', '', value));
  return [el('h3', '', device.id), el('p', 'note', `${device.kind}, ${ago(device.reading.ts, now)}`), list];
}

function showTip() {
  const tip = get('tip');
  tip.hidden = !hovered;
  if (!hovered) return;
  tip.replaceChildren(...card(hovered.device, values(hovered.device).slice(0, TIP_ROWS)));
  const { width, height } = map;
  tip.style.left = `${Math.max(8, Math.min(hovered.x + 16, width - tip.offsetWidth - 8))}px`;
  tip.style.top = `${Math.max(8, Math.min(hovered.y + 16, height - tip.offsetHeight - 8))}px`;
}

function showDevice(device) {
  const panel = get('device');
  panel.hidden = !device;
  if (!device) return;
  const rows = values(device);
  const { lat, lon, accuracy_m } = device.reading;
  if (lat !== undefined) rows.push(['position', `${lat.toFixed(4)}, ${lon.toFixed(4)}`]);
  if (accuracy_m !== undefined) rows.push(['accuracy', `${Math.round(accuracy_m)} m`]);
  // The button stays the same, or it would lose the focus each time a value changes.
  const close = panel.querySelector('button') ?? closer();
  panel.replaceChildren(close, ...card(device, rows));
}

function closer() {
  const close = el('button', '', '×');
  close.type = 'button';
  close.ariaLabel = 'Close';
  close.addEventListener('click', () => select(null));
  return close;
}

async function select(device) {
  map.selected = device?.id ?? null;
  map.track = null;
  showDevice(device);
  map.wake();
  if (!device) return;
  const to = Date.parse(device.reading.ts) + 1;
  const answer = await fetch(`/v1/devices/${encodeURIComponent(device.id)}/readings?from=${to - TRACK_MS}&to=${to}&limit=10000`);
  if (!answer.ok || map.selected !== device.id) return;
  map.showTrack(await answer.json());
}

map.hand.onHover = (device, x, y) => {
  hovered = device && device.id !== map.selected ? { device, x, y } : null;
  showTip();
};
map.hand.onPick = select;

get('find').addEventListener('focus', () => {
  get('devices').replaceChildren(...[...fleet.devices.keys()].sort().slice(0, 500).map((id) => {
    const option = el('option');
    option.value = id;
    return option;
  }));
});
get('find').addEventListener('change', (event) => {
  const device = fleet.devices.get(event.target.value.trim());
  event.target.setCustomValidity(device || !event.target.value ? '' : 'No such device has been heard of.');
  event.target.reportValidity();
  if (!device) return;
  select(device);
  if (device.x !== undefined) {
    map.touched = true;
    map.go({ x: device.x, y: device.y, scale: Math.max(map.view.scale, 220) });
  }
});

for (const button of document.querySelectorAll('.kinds button')) {
  button.addEventListener('click', () => {
    const on = button.ariaPressed !== 'true';
    button.ariaPressed = String(on);
    if (on) map.shown.add(button.dataset.kind);
    else map.shown.delete(button.dataset.kind);
    map.wake();
  });
}
get('closer').addEventListener('click', () => map.zoom(1.6));
get('farther').addEventListener('click', () => map.zoom(1 / 1.6));
get('fit').addEventListener('click', () => { map.touched = false; map.fit(); });
get('trails').addEventListener('click', ({ currentTarget }) => {
  map.trails = !map.trails;
  currentTarget.ariaPressed = String(map.trails);
  map.wake();
});
document.addEventListener('visibilitychange', () => map.wake());
