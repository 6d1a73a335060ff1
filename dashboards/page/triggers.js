// The list of what insurers were told, in plain words.

import { ago, el, moment, plain, weather } from './words.js';

const KEPT = 60;
const ANNOUNCE_MS = 5000;
const OFFERS = { cover: 'offer cover', covered: 'already covered', home: 'back home' };

export class Triggers {
  constructor(list, none, announce) {
    Object.assign(this, { list, none, announce });
    this.said = new Map();
    this.announced = 0;
  }

  /** Takes triggers in any order; each id shows its latest revision. */
  take(triggers, fresh) {
    for (const trigger of triggers) {
      const { id, revision } = trigger.message;
      const known = this.said.get(id);
      // Nothing is told any more of somebody who withdrew, or was erased; a test is about nobody.
      if (['erased', 'notice', 'test'].includes(trigger.status)) {
        known?.item.remove();
        this.said.delete(id);
        continue;
      }
      if (known && known.trigger.message.revision >= revision) continue;
      known?.item.remove();
      const item = this.item(trigger);
      this.said.set(id, { trigger, item });
      if (fresh) {
        item.classList.add('new');
        this.tell(trigger);
      }
    }
    const order = [...this.said.values()].sort((a, b) => later(a.trigger, b.trigger));
    for (const { trigger, item } of order.splice(KEPT)) {
      item.remove();
      this.said.delete(trigger.message.id);
    }
    order.forEach(({ item }, at) => {
      if (this.list.children[at] !== item) this.list.insertBefore(item, this.list.children[at] ?? null);
    });
    this.none.hidden = order.length > 0;
  }

  /** Says "2 min ago" anew. */
  age(now) {
    for (const { trigger, item } of this.said.values()) {
      item.querySelector('time').textContent = ago(trigger.message.data.happened_at, now);
    }
  }

  /** To a screen reader, the newest only and not too often. */
  tell({ insurer_name, message }) {
    const now = performance.now();
    if (now - this.announced < ANNOUNCE_MS) return;
    this.announced = now;
    this.announce.textContent = `${insurer_name}: ${message.data.explanation.en}`;
  }

  item({ insurer_name, product, status, outcome, reason, message }) {
    const { data } = message;
    const item = el('li', 'trigger');
    item.dataset.offer = data.offer.kind;
    if (status === 'withdrawn') item.classList.add('gone');

    const top = el('div', 'top');
    const time = el('time', '', '');
    time.dateTime = data.happened_at;
    time.title = moment(data.happened_at);
    top.append(el('span', '', `${insurer_name} · ${plain(product)}`), time);

    const facts = el('div', 'facts');
    facts.append(el('span', 'offer', OFFERS[data.offer.kind] ?? plain(data.offer.kind)));
    if (data.value && data.offer.kind === 'cover') {
      const { amount, currency, per } = data.value;
      facts.append(el('span', '', `worth ${amount.toFixed(2)} ${currency} a ${per}`));
    }
    facts.append(el('span', '', weather(data.evidence.weather)));
    if (outcome === 'expired') facts.append(el('span', 'mark', 'too late, not sent'));
    if (outcome === 'waiting') facts.append(el('span', 'mark', 'waits for quiet hours to end'));
    if (outcome === 'suppressed') facts.append(el('span', 'mark', `held back: ${plain(reason ?? '')}`));
    if (status === 'withdrawn') facts.append(el('span', 'mark', 'withdrawn'));
    else if (message.revision > 0) facts.append(el('span', 'mark', `revision ${message.revision}`));

    item.append(top, el('h3', '', where(data.place)), el('p', 'say', data.explanation.en), facts);
    return item;
  }
}

/** A way from one country to another, or the country it happened in. */
function where(place) {
  if (place?.from) return `${bare(place.from.name)} → ${bare(place.to.name)}`;
  return place?.name ? `in ${place.name}` : '';
}

const bare = (name) => name.replace(/^the /, '');

const later = (a, b) => Date.parse(b.message.time) - Date.parse(a.message.time) || (a.message.sequence < b.message.sequence ? 1 : -1);
