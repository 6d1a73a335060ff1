// What is known of each device on the map: where it is, where it was, whether it changed country.

import { mapX, mapY } from './ground.js';

/** Positions kept of each device for its trail. */
const TRAIL = 80;

/** How long a dot takes to its new place, a pulse lasts, and a device pulses at most once in. */
export const GLIDE_MS = 700;
export const PULSE_MS = 2600;
const CALM_MS = 60_000;

/** Readings a device must send from another country before it counts as crossed. */
const SURE = 2;

export class Fleet {
  constructor() {
    this.devices = new Map();
    this.pulses = [];
    this.ground = null;
  }

  /** Takes a frame of the stream: all there is, or what changed. */
  take(frame, now) {
    if (frame.all) {
      const here = new Set(frame.devices.map((reading) => reading.device));
      for (const id of this.devices.keys()) if (!here.has(id)) this.devices.delete(id);
    }
    for (const reading of frame.devices) this.read(reading, now);
  }

  read(reading, now) {
    const known = this.devices.get(reading.device);
    const device = known ?? { id: reading.device, kind: reading.kind, trail: [], away: 0, pulsed: -Infinity };
    device.reading = reading;
    if (!known) this.devices.set(device.id, device);
    if (reading.lat === undefined) return;
    const [x, y] = [mapX(reading.lon), mapY(reading.lat)];
    if (device.trail.length && device.x === x && device.y === y) return;
    [device.fromX, device.fromY] = device.trail.length ? place(device, now) : [x, y];
    Object.assign(device, { x, y, since: now, lat: reading.lat, lon: reading.lon });
    device.trail.push([x, y]);
    if (device.trail.length > TRAIL) device.trail.shift();
    this.notice(device, now);
  }

  /** A pulse where a dot has come into another country, by the map's own ground. */
  notice(device, now) {
    if (!this.ground) return;
    const country = this.ground.country(device.lat, device.lon);
    if (!country || country === device.country) {
      device.away = 0;
      return;
    }
    device.away += 1;
    if (device.country !== undefined && device.away < SURE) return;
    if (device.country !== undefined && now - device.pulsed > CALM_MS) {
      this.pulses.push({ x: device.x, y: device.y, kind: device.kind, start: now });
      device.pulsed = now;
    }
    device.country = country;
    device.away = 0;
  }

  /** Ends what is over; returns whether anything still moves. */
  moving(now) {
    this.pulses = this.pulses.filter((pulse) => now - pulse.start < PULSE_MS);
    if (this.pulses.length) return true;
    for (const device of this.devices.values()) if (now - device.since < GLIDE_MS) return true;
    return false;
  }

  /** The box around all that have a place on the ground. */
  extent() {
    const box = { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
    for (const { x, y } of this.devices.values()) {
      if (x === undefined || !this.onMap(x, y)) continue;
      box.left = Math.min(box.left, x);
      box.right = Math.max(box.right, x);
      box.top = Math.min(box.top, y);
      box.bottom = Math.max(box.bottom, y);
    }
    return box.left <= box.right ? box : null;
  }

  onMap(x, y) {
    const box = this.ground?.box;
    return !box || (x >= box.left && x <= box.right && y >= box.top && y <= box.bottom);
  }

  offMap() {
    let count = 0;
    for (const { x, y } of this.devices.values()) if (x !== undefined && !this.onMap(x, y)) count += 1;
    return count;
  }
}

/** Where a dot is drawn while it glides to its place. */
export function place(device, now) {
  const part = Math.min(1, (now - device.since) / GLIDE_MS);
  const ease = 1 - (1 - part) ** 3;
  return [device.fromX + (device.x - device.fromX) * ease, device.fromY + (device.y - device.fromY) * ease];
}
