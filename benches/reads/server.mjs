// The same job in Node: a map of keys, one answer. Started by the bench.
import { createServer } from "node:http";

const body = Buffer.from(process.env.BODY);
const headers = Object.fromEntries(JSON.parse(process.env.HEADERS));
headers["content-length"] = body.length;
const clients = new Map([[`Bearer ${process.env.KEY}`, "bench"]]);
const [host, port] = process.env.ADDRESS.split(":");

createServer((request, response) => {
  if (request.url !== "/token" || !clients.has(request.headers.authorization)) {
    response.writeHead(401).end();
    return;
  }
  response.writeHead(200, headers).end(body);
}).listen(Number(port), host);
process.stdin.on("end", () => process.exit(0)).resume(); // ends with the bench
