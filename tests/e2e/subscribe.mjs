// An insurer's subscriber written with MQTT.js: node subscribe.mjs BROKER TOPIC VERSION
import { createRequire } from "node:module";

const require = createRequire(process.env.DATANAUT_NODE);
const mqtt = require("mqtt");
const [broker, topic, version] = process.argv.slice(2);
const client = mqtt.connect(broker, { protocolVersion: version === "5" ? 5 : 4 });

client.on("connect", () =>
  client.subscribe(topic, { qos: 1 }, (error) => console.log(error ? `refused: ${error}` : "subscribed")),
);
client.on("message", (on, payload, packet) =>
  console.log(JSON.stringify({ topic: on, payload: payload.toString(), properties: packet.properties ?? null })),
);
client.on("error", (error) => console.error(String(error)));
