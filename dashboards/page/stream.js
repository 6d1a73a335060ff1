// The live stream, kept open: the browser comes back by itself after a lost line, and we do when it
// gives up or the line is dead without saying so.

const SILENCE_MS = 6000;
const AGAIN_MS = 3000;

/** Calls `take(event, data)` for each frame and `state('connecting' | 'live' | 'lost')`. */
export function follow(events, take, state) {
  let source;
  let watchdog;

  const alive = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(lost, SILENCE_MS);
  };
  const lost = () => {
    source.close();
    clearTimeout(watchdog);
    state('lost');
    watchdog = setTimeout(open, AGAIN_MS);
  };
  const open = () => {
    source = new EventSource('/v1/stream');
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) lost();
      else state('lost');
    };
    source.onopen = () => state('live');
    for (const event of events) {
      source.addEventListener(event, (message) => {
        alive();
        take(event, JSON.parse(message.data));
      });
    }
    alive();
  };
  state('connecting');
  open();
}
