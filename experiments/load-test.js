// An ordinary k6 script: `k6 run --vus 50 --duration 2m experiments/load-test.js` runs it, and
// cf.k6("experiments/load-test.js", at="shop", vus=50) makes it the load of an experiment.
import http from 'k6/http';
import { check, sleep } from 'k6';

export default function () {
  const res = http.get(__ENV.TARGET, { timeout: '1s' });
  check(res, { 'status was 200': (r) => r.status == 200 });
  sleep(0.05);
}
