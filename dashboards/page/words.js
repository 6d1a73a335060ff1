// How figures, moments and measures are said. Everything is English, whatever the browser speaks.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 4 });

export const count = (n) => (n < 1e7 ? whole : short).format(n);
export const rate = (n) => (n < 100 ? tenth : whole).format(n);
export const plain = (name) => name.replaceAll('_', ' ');
export const sum = (counts) => Object.values(counts).reduce((total, n) => total + n, 0);

const clock = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
export const moment = (time) => clock.format(new Date(time));

/** How long ago a moment is, by the server's clock. */
export function ago(time, now) {
  const seconds = Math.round((now - Date.parse(time)) / 1000);
  if (seconds < 10) return 'just now';
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

// Measures end in their unit.
const UNITS = {
  mps: ['m/s', 1], deg: ['°', 0], m: ['m', 0], pct: ['%', 0], mps2: ['m/s²', 1], mm: ['mm', 1],
  c: ['°C', 1], bpm: ['beats/min', 0], pa: ['Pa', 0], w: ['W', 0], wh: ['Wh', 0], s: ['s', 0],
};

/** A reading's field as [what, value]. */
export function measure(name, value) {
  if (typeof value === 'boolean') return [plain(name), value ? 'yes' : 'no'];
  if (typeof value !== 'number') return [plain(name), plain(String(value))];
  if (name === 'speed_mps') return ['speed', `${Math.round(value * 3.6)} km/h`];
  const at = name.lastIndexOf('_');
  const unit = UNITS[name.slice(at + 1)];
  if (at < 0 || !unit) return [plain(name), count(value)];
  const digits = new Intl.NumberFormat('en', { maximumFractionDigits: unit[1] }).format(value);
  return [plain(name.slice(0, at)), `${digits} ${unit[0]}`];
}

// WMO code table 4677, as weather services use it: up to and including each code.
const SKIES = [
  [0, 'clear'], [2, 'fair'], [3, 'overcast'], [48, 'fog'], [57, 'drizzle'], [65, 'rain'],
  [67, 'freezing rain'], [77, 'snow'], [82, 'showers'], [86, 'snow showers'], [99, 'thunderstorm'],
];

export function weather(seen) {
  if (seen.status !== 'known') return 'weather missing';
  const number = (value, unit) => (value === undefined ? undefined : `${tenth.format(value)} ${unit}`);
  const sky = SKIES.find(([code]) => seen.code <= code);
  const rain = seen.precipitation_mm >= 0.1 ? number(seen.precipitation_mm, 'mm') : undefined;
  const wind = number(seen.wind_mps, 'm/s');
  const parts = [number(seen.temperature_c, '°C'), sky?.[1], rain, wind && `wind ${wind}`];
  return parts.filter(Boolean).join(', ') || 'weather without values';
}

/** An element with a class and text. Text from the server only ever gets here: never as HTML. */
export function el(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
