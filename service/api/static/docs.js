"use strict";
// The document of the API, drawn by Swagger UI; requests go out with the browser's own login.

SwaggerUIBundle({
  url: new URL("api/v1/openapi.json", document.baseURI).href, // below the page, wherever a proxy puts it
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null, // it would be asked over the net
});
