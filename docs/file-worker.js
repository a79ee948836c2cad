// Browsers start no worker from a file. The search of the site then runs in a hidden frame of the page instead.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(url) {
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inner = this.frame.contentWindow;
      inner.postMessage = (data) => this.onmessage?.({ data });
      const script = this.frame.contentDocument.createElement("script");
      script.src = new URL(url, document.baseURI).href;
      this.loaded = new Promise((resolve) => { script.onload = resolve; });
      this.frame.contentDocument.body.append(script);
    }
    postMessage(data) { this.loaded.then(() => this.frame.contentWindow?.onmessage({ data })); }
    terminate() { this.frame.remove(); }
  };
}
