// Package output is chaosfw's own output for k6: of each request one row of 32 bytes, by the clock that chaosfw measures with.
//
// chaosfw builds it into a k6 (`chaosfw build-k6`) and starts that k6 with `--out chaosfw-v1=<where to>`. k6's own outputs write nine
// lines of text for a request, which costs k6 a part of its throughput and whoever reads them more. What a row means is decided by its
// reader, chaosfw/load/k6/rows.py, as for k6's own lines; nothing is judged here. The name says the version of the format: change both.
package output

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"go.k6.io/k6/v2/lib/netext/httpext"
	"go.k6.io/k6/v2/metrics"
	"go.k6.io/k6/v2/output"
	"golang.org/x/sys/unix"
)

const (
	name   = "chaosfw-v1"
	period = 100 * time.Millisecond
	// Metric and tag of the scripts that chaosfw writes (chaosfw/load/k6/script.py).
	began, number = "chaosfw_began", "n"

	failed, expected, untold = 1, 0, 2
	// Different tags that are kept in memory: a script can make more of them than there is room for.
	most = 10_000
	// Bytes of rows in one frame, should nobody read for a while.
	largest = 1 << 20
)

func init() {
	output.RegisterExtension(name, func(params output.Params) (output.Output, error) {
		if params.ConfigArgument == "" {
			return nil, errors.New(name + " needs a file to write to: --out " + name + "=/dev/fd/3")
		}
		return &rows{params: params, known: map[tags]uint32{}, checks: map[string]*asked{}}, nil
	})
}

// tags are what k6 says of a request beside its times. Few differ, so each is written once and has a number.
type tags struct {
	Status string `json:"status"`
	Code   string `json:"code"`
	Error  string `json:"error"`
}

type asked struct{ Asked, Failed uint64 }

// rows collects frames (their kind, their length, their payload) and writes them ten times a second.
type rows struct {
	params  output.Params
	file    *os.File
	flusher *output.PeriodicFlusher
	base    time.Time // the same instant by Go's clock
	mono    int64     // and by CLOCK_MONOTONIC

	known map[tags]uint32

	mutex   sync.Mutex
	frames  []byte // finished ones, to be written before the requests that name them
	pending []byte // rows of requests
	checks  map[string]*asked
	strange uint64 // requests that k6 counted and did not tell of as we know it
}

func (r *rows) Description() string { return name }

func (r *rows) Start() error {
	file, err := os.OpenFile(r.params.ConfigArgument, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	var now unix.Timespec
	before := time.Now()
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	r.file, r.base, r.mono = file, before.Add(time.Since(before)/2), now.Nano()
	r.flusher, err = output.NewPeriodicFlusher(period, r.flush)
	return err
}

func (r *rows) Stop() error {
	r.flusher.Stop()
	return r.file.Close()
}

// AddMetricSamples is called by k6, never twice at a time.
func (r *rows) AddMetricSamples(containers []metrics.SampleContainer) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, container := range containers {
		if trail, ok := container.(*httpext.Trail); ok {
			r.request(trail)
			continue
		}
		for _, sample := range container.GetSamples() {
			r.other(sample)
		}
	}
}

func (r *rows) request(trail *httpext.Trail) {
	flags := byte(untold)
	if trail.Failed.Valid {
		flags = expected
		if trail.Failed.Bool {
			flags = failed
		}
	}
	var connected byte
	if trail.Connecting > 0 {
		connected = 1
	}
	at := int32(-1)
	if text, there := trail.Tags.Get(number); there {
		if parsed, err := strconv.ParseInt(text, 10, 32); err == nil {
			at = int32(parsed)
		}
	}
	vu, _ := strconv.ParseUint(trail.Metadata["vu"], 10, 32)
	told := r.number(trail.Tags)
	if len(r.pending) >= largest {
		r.requests()
	}
	row := binary.LittleEndian.AppendUint64(r.pending, uint64(r.monotonic(trail.EndTime)))
	row = binary.LittleEndian.AppendUint64(row, uint64(trail.Blocked+trail.Duration))
	row = binary.LittleEndian.AppendUint32(row, told)
	row = binary.LittleEndian.AppendUint32(row, uint32(vu))
	row = binary.LittleEndian.AppendUint32(row, uint32(at))
	r.pending = append(row, flags, connected, 0, 0)
}

func (r *rows) number(set *metrics.TagSet) uint32 {
	var found tags
	found.Status, _ = set.Get("status")
	found.Code, _ = set.Get("error_code")
	found.Error, _ = set.Get("error")
	known, there := r.known[found]
	if !there && len(r.known) >= most {
		r.requests()
		r.frame('n', nil) // numbers begin again
		clear(r.known)
	}
	if !there {
		known = uint32(len(r.known))
		r.known[found] = known
		told, _ := json.Marshal(found)
		r.frame('t', told)
	}
	return known
}

func (r *rows) other(sample metrics.Sample) {
	switch sample.Metric.Name {
	case metrics.HTTPReqsName:
		r.strange++
	case metrics.ChecksName:
		check, _ := sample.Tags.Get("check")
		one := r.checks[check]
		if one == nil {
			one = &asked{}
			r.checks[check] = one
		}
		one.Asked++
		if sample.Value == 0 {
			one.Failed++
		}
	case metrics.DroppedIterationsName:
		at := binary.LittleEndian.AppendUint64(nil, uint64(r.monotonic(sample.Time)))
		r.frame('d', binary.LittleEndian.AppendUint64(at, uint64(sample.Value)))
	case began:
		since := sample.Time.UnixNano() - int64(sample.Value*1e6)
		r.frame('b', binary.LittleEndian.AppendUint64(nil, uint64(r.monotonic(sample.Time)-since)))
	}
}

// monotonic is exact however the wall was set meanwhile: Go keeps both clocks of an instant.
func (r *rows) monotonic(at time.Time) int64 { return r.mono + int64(at.Sub(r.base)) }

func (r *rows) requests() {
	if len(r.pending) > 0 {
		r.frame('q', r.pending)
		r.pending = r.pending[:0]
	}
}

func (r *rows) frame(kind byte, payload []byte) {
	r.frames = binary.LittleEndian.AppendUint32(append(r.frames, kind), uint32(len(payload)))
	r.frames = append(r.frames, payload...)
}

func (r *rows) flush() {
	r.mutex.Lock()
	if len(r.checks) > 0 {
		told, _ := json.Marshal(r.checks)
		r.frame('c', told)
		clear(r.checks)
	}
	if r.strange > 0 {
		r.frame('u', binary.LittleEndian.AppendUint64(nil, r.strange))
		r.strange = 0
	}
	r.requests()
	told := r.frames
	r.frames = make([]byte, 0, len(told))
	r.mutex.Unlock()
	if _, err := r.file.Write(told); err != nil {
		r.params.Logger.WithError(err).Error(fmt.Sprintf("%s: requests are not told of", name))
	}
}
