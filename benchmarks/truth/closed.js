// The closed loop of the truth benchmark in k6: every VU asks ten times a second, if it is answered.
import http from 'k6/http';

export const options = { minIterationDuration: '100ms', noConnectionReuse: true };

export default function () {
  http.get(__ENV.TARGET, { timeout: '1s' });
}
