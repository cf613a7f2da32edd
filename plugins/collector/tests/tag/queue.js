// Consent is waited for, a failure is tried again, and what is left goes when the page does.
storage.kindred_queue = JSON.stringify([{ type: "track", event: "kept", messageId: "k", context: {} }]);
answers.push({ status: 500 });
const page = visit();
page.call("cart", { items: 2 });
run();
say({ "sent before consent": requests });
page.answer();
run();
say({ stored: storage.kindred_queue || null });
page.answer();
run();
page.call("track", "late");
page.leave();
