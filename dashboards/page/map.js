// Draws ground and fleet on two canvases, and lets people move about.

import { PULSE_MS, place } from './fleet.js';
import { Hand } from './hand.js';
import { mapX, mapY } from './ground.js';

const CLOSEST = 6000; // pixels a degree
const still = matchMedia('(prefers-reduced-motion: reduce)');
const dark = matchMedia('(prefers-color-scheme: dark)');

export class FleetMap {
  constructor(fleet, ground, top) {
    this.fleet = fleet;
    [this.groundCanvas, this.canvas] = [ground, top];
    this.shown = new Set(['car', 'tracker', 'thermostat', 'product']);
    this.trails = true;
    this.selected = null;
    this.track = null;
    this.touched = false;
    // The middle in map units, and pixels a unit.
    this.view = { x: mapX(8), y: mapY(50), scale: 40 };
    this.readColours();
    new ResizeObserver(() => this.resize()).observe(top);
    dark.addEventListener('change', () => { this.readColours(); this.redraw(); });
    this.hand = new Hand(this);
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const known = new Map();
    this.colour = (name) => {
      if (!known.has(name)) known.set(name, style.getPropertyValue(`--${name}`).trim());
      return known.get(name);
    };
    this.kinds = Object.fromEntries(['car', 'tracker', 'thermostat', 'product'].map((kind) => [kind, this.colour(kind)]));
  }

  resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    const dots = devicePixelRatio || 1;
    for (const canvas of [this.groundCanvas, this.canvas]) {
      canvas.width = Math.round(width * dots);
      canvas.height = Math.round(height * dots);
    }
    Object.assign(this, { width, height, dots });
    if (this.touched) this.clamp();
    else this.fit(false);
    this.redraw();
  }

  /** Shows the whole fleet, until somebody moves the map. */
  fit(animate = true) {
    const box = this.fleet.extent();
    if (!box || !this.width) return;
    const margin = 0.86;
    const wide = Math.max(box.right - box.left, 3);
    const high = Math.max(box.bottom - box.top, 3);
    const scale = Math.min((this.width * margin) / wide, (this.height * margin) / high);
    this.go({ x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2, scale }, animate);
  }

  /** Moves to a view, in a short glide. */
  go(view, animate = true) {
    this.flight = null;
    const from = { ...this.view };
    this.view = view;
    this.clamp();
    if (animate && !still.matches) {
      this.flight = { from, to: this.view, start: performance.now() };
      this.view = from;
    }
    this.redraw();
  }

  zoom(factor, atX = this.width / 2, atY = this.height / 2) {
    const before = this.toMap(atX, atY);
    this.flight = null;
    this.view.scale *= factor;
    this.clamp();
    const after = this.toMap(atX, atY);
    this.view.x += before[0] - after[0];
    this.view.y += before[1] - after[1];
    this.moved();
  }

  pan(dx, dy) {
    this.flight = null;
    this.view.x -= dx / this.view.scale;
    this.view.y -= dy / this.view.scale;
    this.moved();
  }

  moved() {
    this.touched = true;
    this.clamp();
    this.redraw();
  }

  /** Never shows what is beyond the ground. */
  clamp() {
    const box = this.fleet.ground?.box;
    const view = this.view;
    if (!box || !this.width) return;
    const least = Math.max(this.width / (box.right - box.left), this.height / (box.bottom - box.top));
    view.scale = Math.min(CLOSEST, Math.max(least, view.scale));
    const [halfX, halfY] = [this.width / 2 / view.scale, this.height / 2 / view.scale];
    view.x = Math.min(box.right - halfX, Math.max(box.left + halfX, view.x));
    view.y = Math.min(box.bottom - halfY, Math.max(box.top + halfY, view.y));
  }

  toMap(x, y) {
    return [this.view.x + (x - this.width / 2) / this.view.scale, this.view.y + (y - this.height / 2) / this.view.scale];
  }

  toScreen(x, y) {
    return [(x - this.view.x) * this.view.scale + this.width / 2, (y - this.view.y) * this.view.scale + this.height / 2];
  }

  /** The visible device nearest to a place on the screen. */
  at(x, y, reach = 14) {
    let nearest = null;
    let least = reach * reach;
    for (const device of this.fleet.devices.values()) {
      if (device.x === undefined || !this.shown.has(device.kind)) continue;
      const [dx, dy] = this.toScreen(...place(device, performance.now()));
      const square = (dx - x) ** 2 + (dy - y) ** 2;
      if (square < least) [nearest, least] = [device, square];
    }
    return nearest;
  }

  /** Draws where the selected device has been. */
  showTrack(readings) {
    this.track = readings.filter(({ lat }) => lat !== undefined).map(({ lat, lon }) => [mapX(lon), mapY(lat)]);
    this.wake();
  }

  redraw() {
    this.groundStale = true;
    this.wake();
  }

  /** Draws with the next frame, and as long as something moves. */
  wake() {
    this.frame ??= requestAnimationFrame((now) => {
      this.frame = null;
      if (this.flight) this.fly(now);
      if (this.groundStale) this.drawGround();
      this.drawFleet(now);
      if (this.flight || (this.fleet.moving(now) && !document.hidden)) this.wake();
    });
  }

  fly(now) {
    const { from, to, start } = this.flight;
    const part = Math.min(1, Math.max(0, (now - start) / 500));
    const ease = part * part * (3 - 2 * part);
    const mix = (a, b) => a + (b - a) * ease;
    this.view = { x: mix(from.x, to.x), y: mix(from.y, to.y), scale: from.scale * (to.scale / from.scale) ** ease };
    if (part === 1) this.flight = null;
    this.groundStale = true;
  }

  drawGround() {
    this.groundStale = false;
    const pen = this.groundCanvas.getContext('2d');
    const { x, y, scale } = this.view;
    pen.setTransform(this.dots, 0, 0, this.dots, 0, 0);
    pen.fillStyle = this.colour('sea');
    pen.fillRect(0, 0, this.width, this.height);
    const ground = this.fleet.ground;
    if (!ground) return;
    const zoom = this.dots * scale;
    pen.setTransform(zoom, 0, 0, zoom, this.dots * (this.width / 2 - x * scale), this.dots * (this.height / 2 - y * scale));
    pen.fillStyle = this.colour('land-1');
    pen.fill(ground.land);
    const tints = ['land-1', 'land-2', 'land-3'].map((name) => this.colour(name));
    pen.lineJoin = 'round';
    pen.strokeStyle = this.colour('border');
    pen.lineWidth = 0.9 / scale;
    ground.countries.forEach((path, at) => {
      pen.fillStyle = tints[(at * 7) % 3];
      pen.fill(path);
      pen.stroke(path);
    });
    this.drawNames(pen, ground.labels);
  }

  drawNames(pen, labels) {
    pen.setTransform(this.dots, 0, 0, this.dots, 0, 0);
    pen.fillStyle = this.colour('name');
    pen.textAlign = 'center';
    pen.textBaseline = 'middle';
    for (const { name, x, y, radius } of labels) {
      const room = radius * this.view.scale;
      const size = Math.min(17, Math.max(11, room / 5));
      pen.font = `500 ${size}px system-ui, sans-serif`;
      pen.letterSpacing = '0.06em';
      if (pen.measureText(name).width > room * 2.3) continue;
      pen.fillText(name, ...this.toScreen(x, y));
    }
  }

  drawFleet(now) {
    const pen = this.canvas.getContext('2d');
    pen.setTransform(this.dots, 0, 0, this.dots, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    pen.lineCap = pen.lineJoin = 'round';
    if (this.track) this.line(pen, this.track, this.colour('ink'), 2, 0.55);
    const visible = [...this.fleet.devices.values()].filter((device) => device.x !== undefined && this.shown.has(device.kind));
    if (this.trails) {
      for (const device of visible) {
        if (device.trail.length > 1) this.line(pen, [...device.trail.slice(0, -1), place(device, now)], this.kinds[device.kind], 1.8, 0.5);
      }
    }
    for (const pulse of this.fleet.pulses) if (this.shown.has(pulse.kind)) this.pulse(pen, pulse, now);
    const radius = Math.min(6.5, 3.6 + this.view.scale / 120);
    for (const device of visible) {
      const [x, y] = this.toScreen(...place(device, now));
      if (x < -9 || y < -9 || x > this.width + 9 || y > this.height + 9) continue;
      this.dot(pen, device.kind, x, y, radius);
    }
    this.drawSelected(pen, now, radius);
  }

  drawSelected(pen, now, radius) {
    const device = this.fleet.devices.get(this.selected);
    if (device?.x === undefined) return;
    const [x, y] = this.toScreen(...place(device, now));
    pen.beginPath();
    pen.arc(x, y, radius + 8, 0, 7);
    pen.strokeStyle = this.colour('ink');
    pen.lineWidth = 2.5;
    pen.stroke();
    this.dot(pen, device.kind, x, y, radius + 2);
  }

  line(pen, points, colour, width, alpha) {
    pen.beginPath();
    points.forEach(([x, y], at) => pen[at ? 'lineTo' : 'moveTo'](...this.toScreen(x, y)));
    pen.globalAlpha = alpha;
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.stroke();
    pen.globalAlpha = 1;
  }

  /** A shape for each kind, so that colour is not all that tells them apart. */
  dot(pen, kind, x, y, r) {
    pen.beginPath();
    if (kind === 'tracker') {
      pen.moveTo(x, y - r * 1.15);
      pen.lineTo(x + r * 1.15, y);
      pen.lineTo(x, y + r * 1.15);
      pen.lineTo(x - r * 1.15, y);
      pen.closePath();
    } else if (kind === 'thermostat') {
      pen.rect(x - r * 0.85, y - r * 0.85, r * 1.7, r * 1.7);
    } else {
      pen.arc(x, y, r, 0, 7);
    }
    pen.strokeStyle = this.colour('halo');
    pen.lineWidth = 2;
    pen.stroke();
    pen.fillStyle = this.kinds[kind];
    pen.fill();
    if (kind !== 'product') return;
    pen.beginPath();
    pen.arc(x, y, r * 0.42, 0, 7);
    pen.fillStyle = this.colour('halo');
    pen.fill();
  }

  pulse(pen, { x, y, kind, start }, now) {
    const part = (now - start) / PULSE_MS;
    const [sx, sy] = this.toScreen(x, y);
    pen.strokeStyle = this.kinds[kind];
    for (const ring of [part, part - 0.22]) {
      if (ring <= 0 || ring >= 1) continue;
      pen.globalAlpha = (1 - ring) * 0.9;
      pen.lineWidth = 3 * (1 - ring) + 0.5;
      pen.beginPath();
      pen.arc(sx, sy, still.matches ? 16 : 6 + ring * 34, 0, 7);
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }
}
