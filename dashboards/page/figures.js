// The totals and rates at the top, and what holds the server up.

import { count, moment, plain, rate, sum } from './words.js';

const REMEMBERED = 120;
const get = (id) => document.getElementById(id);

export class Figures {
  constructor() {
    this.recent = [];
    [this.area, this.line] = get('curve').querySelectorAll('path');
  }

  take(status) {
    const { counts, rates, devices } = status;
    if (status.recent) this.recent = status.recent;
    else this.recent.push(rates.received);
    this.recent = this.recent.slice(-REMEMBERED);
    this.curve();

    say('pace', rate(rates.received));
    say('pace-note', `${rate(rates.messages)} messages/s`);
    say('stored', count(counts.stored));
    say('stored-note', counts.late ? `${count(counts.late)} late` : 'none late');
    say('duplicate', count(counts.duplicate));
    this.reasons('quarantined', counts.quarantined);
    this.reasons('refused', counts.refused);
    say('told', count(counts.triggers_released));
    say('told-note', counts.triggers_expired ? `${count(counts.triggers_expired)} too late to send` : 'to insurers');

    for (const button of document.querySelectorAll('[data-kind]')) {
      button.querySelector('b').textContent = count(devices.by_kind[button.dataset.kind] ?? 0);
    }
    say('mqtt', status.mqtt);
    say('version', `version ${status.version}, up since ${moment(status.started_at)}`);
    this.balance(status);
    this.alarm(status);
  }

  reasons(id, counts) {
    const total = sum(counts);
    const most = Object.entries(counts).sort((a, b) => b[1] - a[1]);
    say(id, count(total));
    get(id).classList.toggle('some', total > 0);
    const note = get(`${id}-note`);
    note.textContent = most.length ? most.map(([reason]) => plain(reason)).join(', ') : 'none';
    note.title = most.map(([reason, n]) => `${plain(reason)}: ${count(n)}`).join('\n');
  }

  balance({ counts, balanced }) {
    const parts = [counts.stored, sum(counts.quarantined), sum(counts.refused), counts.duplicate];
    const line = get('balance');
    line.classList.toggle('off', !balanced);
    const mark = document.createElement('b');
    mark.textContent = balanced ? '✓ ' : '✗ ';
    line.replaceChildren(mark, balanced
      ? `Every reading accounted for: ${count(counts.received)} received = ${parts.map(count).join(' + ')}`
      : `The books do not balance: ${count(counts.received)} received, ${count(parts.reduce((a, b) => a + b))} accounted for`);
  }

  alarm({ journal, broker }) {
    const wrong = [
      journal.state === 'writable' ? '' : `The journal cannot write: ${journal.reason}`,
      broker.state === 'accepting' ? '' : `Devices cannot publish: ${broker.reason}`,
    ].filter(Boolean).join(' · ');
    const alarm = get('alarm');
    alarm.hidden = !wrong;
    // Set only when it changes: it is read aloud each time.
    if (alarm.textContent !== wrong) alarm.textContent = wrong;
  }

  curve() {
    const left = REMEMBERED - this.recent.length;
    // Of three seconds each: commits come in batches, and the eye wants the trend.
    const smooth = this.recent.map((_, at, all) => {
      const near = all.slice(Math.max(0, at - 1), at + 2);
      return near.reduce((a, b) => a + b) / near.length;
    });
    // One burst, as after a start, should not flatten all else.
    const usual = smooth.reduce((a, b) => a + b, 0) / smooth.length;
    const most = Math.max(1, Math.min(Math.max(...smooth), usual * 3)) * 1.15;
    const points = smooth.map((value, at) => `${left + at + 1},${Math.max(1, 40 - (value / most) * 38).toFixed(2)}`);
    if (points.length < 2) return;
    this.line.setAttribute('d', `M${points.join('L')}`);
    this.area.setAttribute('d', `M${points.join('L')}L120,40L${left + 1},40Z`);
  }
}

function say(id, text) {
  const element = get(id);
  if (element.textContent !== text) element.textContent = text;
}
