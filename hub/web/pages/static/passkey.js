// The one script of these pages: it asks the browser for a passkey and puts the answer into the form.
"use strict";
(function () {
  var form = document.getElementById("passkey");
  if (!form) { return; }
  var button = form.querySelector("button");
  var status = document.getElementById("passkey-status");
  var create = form.dataset.act === "create";
  var known = window.PublicKeyCredential && PublicKeyCredential.parseRequestOptionsFromJSON;
  if (!known) { status.textContent = form.dataset.unsupported; button.disabled = true; return; }
  button.disabled = false;
  form.addEventListener("submit", function (event) {
    event.preventDefault();
    var options = JSON.parse(form.dataset.options);
    var asked = create
      ? navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
      : navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
    asked.then(function (credential) {
      form.elements.credential.value = JSON.stringify(credential.toJSON());
      form.submit();
    }, function () { status.textContent = form.dataset.failed; });
  });
})();
