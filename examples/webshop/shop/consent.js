// The smallest consent platform there can be: it answers the TCF API of the page (IAB TCF 2.3, CMP API, section 3) with
// one of two TC strings, those of a visitor who agrees to all purposes and of one who agrees to none.
(function () {
  const strings = {
    yes: "CQgYw8AQgYw8AEsACBENAHFgAP_gAAAAAAAAAAAAAAAA",
    no: "CQgYw8AQgYw8AEsACBENAHFgAAAAAAAAAAAAAAAAAAAA",
  };
  const listeners = [];
  const said = () => localStorage.getItem("consent");

  function data(id) {
    return { gdprApplies: true, tcString: strings[said()], eventStatus: said() ? "tcloaded" : "cmpuishown", listenerId: id };
  }

  window.__tcfapi = function (command, version, callback) {
    if (command !== "addEventListener") return callback(null, false);
    listeners.push(callback);
    callback(data(listeners.length), true);
  };

  window.consent = {
    said,
    say(answer) {
      localStorage.setItem("consent", answer);
      listeners.forEach((callback, index) => callback({ ...data(index + 1), eventStatus: "useractioncomplete" }, true));
    },
  };
})();
