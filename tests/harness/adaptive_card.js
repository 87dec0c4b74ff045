// Reads an adaptive card (the first argument is Microsoft's library, the card is on standard input) and writes what the library
// objects to, and the card as it understood it.
const library = require(process.argv[2]);
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
const card = new library.AdaptiveCard();
const context = new library.SerializationContext(library.Version.v1_4);
card.parse(given, context);
const objections = card.validateProperties().validationEvents.map((event) => event.message);
for (let at = 0; at < context.eventCount; at++) objections.push(context.getEventAt(at).message);
console.log(JSON.stringify({ objections, understood: card.toJSON(context) }));
