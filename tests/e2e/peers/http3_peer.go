// SPDX-License-Identifier: Apache-2.0

// A client of quic-go's: what it is to do comes as JSON on its standard input, what it met goes out as JSON.
//
//	http3_peer fetch   whole requests, on connections one after the other
//	http3_peer steps   one connection, on which streams carry whatever bytes they are told to
//	http3_peer load    many requests at a time; tells how many were answered
//	http3_peer crowd   handshakes that are begun and not ended; says so, and stays until it is killed
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lucas-clemente/quic-go"
	"github.com/lucas-clemente/quic-go/http3"
)

// Server is where to and as whom.
type Server struct {
	Address  string `json:"address"`
	Name     string `json:"name"`
	CA       string `json:"ca"` // PEM; empty: whoever answers is believed
	Cert     string `json:"cert"`
	Key      string `json:"key"`
	Protocol string `json:"protocol"` // of the handshake, for steps; "h3" by default
	IdleMS   int    `json:"idle_ms"`
	From     string `json:"from"` // the address of ours; empty: whichever
}

func (s Server) dial(ctx context.Context, config *tls.Config, quicConfig *quic.Config) (quic.EarlyConnection, error) {
	if s.From == "" {
		return quic.DialAddrEarlyContext(ctx, s.Address, config, quicConfig)
	}
	socket, err := net.ListenPacket("udp", s.From+":0")
	if err != nil {
		return nil, err
	}
	address, err := net.ResolveUDPAddr("udp", s.Address)
	if err != nil {
		return nil, err
	}
	return quic.DialEarlyContext(ctx, socket, address, s.Name, config, quicConfig)
}

func (s Server) tlsConfig(cache tls.ClientSessionCache) (*tls.Config, error) {
	config := &tls.Config{ServerName: s.Name, ClientSessionCache: cache, NextProtos: []string{"h3"}}
	if s.Protocol != "" {
		config.NextProtos = []string{s.Protocol}
	}
	if s.CA == "" {
		config.InsecureSkipVerify = true
	} else {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM([]byte(s.CA))
	}
	if s.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(s.Cert), []byte(s.Key))
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (s Server) quicConfig() *quic.Config {
	config := &quic.Config{Versions: []quic.VersionNumber{quic.Version1}, HandshakeIdleTimeout: 10 * time.Second}
	if s.IdleMS > 0 {
		config.MaxIdleTimeout = time.Duration(s.IdleMS) * time.Millisecond
	}
	return config
}

// Close is how a connection ended.
type Close struct {
	Kind   string `json:"kind"` // "application", "transport", "reset", "idle" or "other"
	Code   uint64 `json:"code"`
	Remote bool   `json:"remote"`
	Text   string `json:"text"`
}

func describe(err error) *Close {
	if err == nil {
		return nil
	}
	var application *quic.ApplicationError
	var transport *quic.TransportError
	var reset *quic.StatelessResetError
	var idle *quic.IdleTimeoutError
	text := err.Error()
	switch {
	case errors.As(err, &application):
		return &Close{"application", uint64(application.ErrorCode), application.Remote, text}
	case errors.As(err, &transport):
		return &Close{"transport", uint64(transport.ErrorCode), transport.Remote, text}
	case errors.As(err, &reset):
		return &Close{"reset", 0, true, text}
	case errors.As(err, &idle):
		return &Close{"idle", 0, false, text}
	}
	return &Close{"other", 0, false, text}
}

// --- fetch

type request struct {
	Method  string      `json:"method"`
	URL     string      `json:"url"`
	Headers [][2]string `json:"headers"`
	Body    string      `json:"body"`
}

type answer struct {
	Status   int         `json:"status"`
	Headers  [][2]string `json:"headers"`
	Trailers [][2]string `json:"trailers"`
	Body     string      `json:"body"`
	Resumed  bool        `json:"resumed"`
	Fault    *Close      `json:"fault,omitempty"`
}

type fetching struct {
	Server
	// For each connection, its requests, one after the other.
	Connections [][]request `json:"connections"`
	// Names of connections, where they are not Server's.
	Names []string `json:"names"`
}

func pairs(header http.Header) [][2]string {
	list := [][2]string{}
	for name, values := range header {
		for _, value := range values {
			list = append(list, [2]string{name, value})
		}
	}
	return list
}

func ask(transport *http3.RoundTripper, wanted request) answer {
	made, err := http.NewRequest(wanted.Method, wanted.URL, bytes.NewReader([]byte(wanted.Body)))
	if err != nil {
		return answer{Fault: describe(err)}
	}
	if wanted.Body == "" {
		made.Body = nil
	}
	for _, field := range wanted.Headers {
		if field[0] == "Host" {
			made.Host = field[1]
		} else {
			made.Header.Add(field[0], field[1])
		}
	}
	response, err := transport.RoundTrip(made)
	if err != nil {
		return answer{Fault: describe(err)}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, pairs(response.Header), pairs(response.Trailer), string(body),
		response.TLS != nil && response.TLS.DidResume, describe(err)}
}

func fetch(input []byte) (interface{}, error) {
	var wanted fetching
	if err := json.Unmarshal(input, &wanted); err != nil {
		return nil, err
	}
	cache := tls.NewLRUClientSessionCache(16)
	all := [][]answer{}
	for i, requests := range wanted.Connections {
		server := wanted.Server
		if i < len(wanted.Names) {
			server.Name = wanted.Names[i]
		}
		config, err := server.tlsConfig(cache)
		if err != nil {
			return nil, err
		}
		if i < len(wanted.Names) && len(wanted.Names[i]) > 0 {
			config.ClientSessionCache = shared{cache} // one name's session is offered under another
		}
		transport := &http3.RoundTripper{TLSClientConfig: config, QuicConfig: server.quicConfig(), DisableCompression: true,
			Dial: func(ctx context.Context, _ string, tlsConfig *tls.Config, quicConfig *quic.Config) (quic.EarlyConnection, error) {
				return server.dial(ctx, tlsConfig, quicConfig)
			}}
		answers := []answer{}
		for _, one := range requests {
			answers = append(answers, ask(transport, one))
		}
		transport.Close()
		all = append(all, answers)
	}
	return all, nil
}

// shared keeps one session, for whoever asks.
type shared struct{ tls.ClientSessionCache }

func (s shared) Get(string) (*tls.ClientSessionState, bool) { return s.ClientSessionCache.Get("") }
func (s shared) Put(_ string, state *tls.ClientSessionState) {
	s.ClientSessionCache.Put("", state)
}

// --- steps

type step struct {
	Do   string `json:"do"`
	On   string `json:"on"` // a stream, by the name it was opened under
	Hex  string `json:"hex"`
	Code uint64 `json:"code"`
	MS   int    `json:"ms"`
}

type stepping struct {
	Server
	Steps []step `json:"steps"`
}

// heard is what came on one stream.
type heard struct {
	Hex   string  `json:"hex"`
	Ended bool    `json:"ended"` // by its sender
	Reset *uint64 `json:"reset,omitempty"`
}

type stepped struct {
	Heard    map[string]heard  `json:"heard"`
	Opened   map[string]string `json:"opened"` // the server's streams, by their numbers, as far as they came
	Close    *Close            `json:"close,omitempty"`
	Refused  *Close            `json:"refused,omitempty"` // there was no connection at all
	Failures []string          `json:"failures"`          // of steps
}

type collector struct {
	mutex sync.Mutex
	bytes map[string][]byte
}

func (c *collector) accept(connection quic.Connection) {
	for {
		stream, err := connection.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		name := fmt.Sprint(stream.StreamID())
		go func() {
			buffer := make([]byte, 4096)
			for {
				n, err := stream.Read(buffer)
				c.mutex.Lock()
				c.bytes[name] = append(c.bytes[name], buffer[:n]...)
				c.mutex.Unlock()
				if err != nil {
					return
				}
			}
		}()
	}
}

func listen(stream quic.ReceiveStream, limit time.Duration) heard {
	if limit > 0 {
		stream.SetReadDeadline(time.Now().Add(limit))
	}
	body, err := io.ReadAll(stream)
	result := heard{Hex: hex.EncodeToString(body), Ended: err == nil}
	var cut *quic.StreamError
	if errors.As(err, &cut) {
		code := uint64(cut.ErrorCode)
		result.Reset = &code
	}
	return result
}

func take(steps []step, connection quic.Connection, result *stepped) {
	streams := map[string]interface{}{}
	for _, one := range steps {
		var err error
		limit := time.Duration(one.MS) * time.Millisecond
		switch one.Do {
		case "open":
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			streams[one.On], err = connection.OpenStreamSync(ctx)
			cancel()
		case "open_one_way":
			streams[one.On], err = connection.OpenUniStream()
		case "send":
			var data []byte
			if data, err = hex.DecodeString(one.Hex); err == nil {
				_, err = streams[one.On].(quic.SendStream).Write(data)
			}
		case "finish":
			err = streams[one.On].(quic.SendStream).Close()
		case "reset":
			streams[one.On].(quic.SendStream).CancelWrite(quic.StreamErrorCode(one.Code))
		case "stop":
			streams[one.On].(quic.ReceiveStream).CancelRead(quic.StreamErrorCode(one.Code))
		case "hear":
			result.Heard[one.On] = listen(streams[one.On].(quic.ReceiveStream), limit)
		case "await_end":
			select {
			case <-connection.Context().Done():
			case <-time.After(limit):
			}
		default:
			err = errors.New("no such step")
		}
		if err != nil {
			result.Failures = append(result.Failures, one.Do+": "+err.Error())
			if close := describe(err); close.Kind == "application" || close.Kind == "transport" {
				result.Close = close
			}
			if streams[one.On] == nil {
				return
			}
		}
	}
}

func steps(input []byte) (interface{}, error) {
	var wanted stepping
	if err := json.Unmarshal(input, &wanted); err != nil {
		return nil, err
	}
	result := &stepped{Heard: map[string]heard{}, Opened: map[string]string{}, Failures: []string{}}
	config, err := wanted.tlsConfig(nil)
	if err != nil {
		return nil, err
	}
	connection, err := quic.DialAddr(wanted.Address, config, wanted.quicConfig())
	if err != nil {
		result.Refused = describe(err)
		return result, nil
	}
	opened := &collector{bytes: map[string][]byte{}}
	go opened.accept(connection)
	take(wanted.Steps, connection, result)
	if result.Close == nil && connection.Context().Err() != nil {
		_, err := connection.AcceptStream(context.Background())
		result.Close = describe(err)
	} else {
		connection.CloseWithError(0x100, "")
	}
	opened.mutex.Lock()
	defer opened.mutex.Unlock()
	for name, body := range opened.bytes {
		result.Opened[name] = hex.EncodeToString(body)
	}
	return result, nil
}

// --- load

type loading struct {
	Server
	URL         string `json:"url"`
	Connections int    `json:"connections"`
	Streams     int    `json:"streams"` // of each connection, at a time
	Requests    int64  `json:"requests"`
	IsFresh     bool   `json:"is_fresh"`   // a connection for each request
	IsResumed   bool   `json:"is_resumed"` // with a session for each but the first
}

func load(input []byte) (interface{}, error) {
	var wanted loading
	if err := json.Unmarshal(input, &wanted); err != nil {
		return nil, err
	}
	var left, done, bad, resumed int64 = wanted.Requests, 0, 0, 0
	dial := func(ctx context.Context, _ string, tlsConfig *tls.Config, quicConfig *quic.Config) (quic.EarlyConnection, error) {
		return wanted.dial(ctx, tlsConfig, quicConfig)
	}
	var all sync.WaitGroup
	began := time.Now()
	for i := 0; i < wanted.Connections; i++ {
		var cache tls.ClientSessionCache
		if wanted.IsResumed {
			cache = tls.NewLRUClientSessionCache(4)
		}
		config, err := wanted.tlsConfig(cache)
		if err != nil {
			return nil, err
		}
		makeTransport := func() *http3.RoundTripper {
			return &http3.RoundTripper{TLSClientConfig: config, QuicConfig: wanted.quicConfig(), DisableCompression: true, Dial: dial}
		}
		kept := makeTransport()
		for k := 0; k < wanted.Streams; k++ {
			all.Add(1)
			go func() {
				defer all.Done()
				for atomic.AddInt64(&left, -1) >= 0 {
					transport := kept
					if wanted.IsFresh {
						transport = makeTransport()
					}
					got := ask(transport, request{Method: "GET", URL: wanted.URL})
					if wanted.IsFresh {
						transport.Close()
					}
					if got.Fault != nil || got.Status != 200 {
						atomic.AddInt64(&bad, 1)
					}
					if got.Resumed {
						atomic.AddInt64(&resumed, 1)
					}
					atomic.AddInt64(&done, 1)
				}
			}()
		}
	}
	all.Wait()
	return map[string]interface{}{"done": done, "bad": bad, "resumed": resumed, "seconds": time.Since(began).Seconds()}, nil
}

// --- crowd

// deaf hears so many packets and then none.
type deaf struct {
	net.PacketConn
	hears int
	spoke *sync.Once
	count *sync.WaitGroup
}

func (d *deaf) ReadFrom(buffer []byte) (int, net.Addr, error) {
	for {
		n, from, err := d.PacketConn.ReadFrom(buffer)
		if err != nil || d.hears > 0 {
			d.hears--
			return n, from, err
		}
	}
}

// What comes behind the packets that were heard is an answer to them.
func (d *deaf) WriteTo(packet []byte, to net.Addr) (int, error) {
	n, err := d.PacketConn.WriteTo(packet, to)
	if d.hears <= 0 {
		d.spoke.Do(d.count.Done)
	}
	return n, err
}

type crowding struct {
	Server
	Count int `json:"count"`
	Hears int `json:"hears"` // of what comes, packets
}

func crowd(input []byte) (interface{}, error) {
	var wanted crowding
	if err := json.Unmarshal(input, &wanted); err != nil {
		return nil, err
	}
	config, err := wanted.tlsConfig(nil)
	if err != nil {
		return nil, err
	}
	address, err := net.ResolveUDPAddr("udp", wanted.Address)
	if err != nil {
		return nil, err
	}
	var begun sync.WaitGroup
	for i := 0; i < wanted.Count; i++ {
		socket, err := net.ListenPacket("udp", wanted.From+":0")
		if err != nil {
			return nil, err
		}
		begun.Add(1)
		go quic.Dial(&deaf{socket, wanted.Hears, &sync.Once{}, &begun}, address, wanted.Name, config, wanted.quicConfig())
	}
	begun.Wait()
	fmt.Println("begun")
	select {}
}

func main() {
	modes := map[string]func([]byte) (interface{}, error){"fetch": fetch, "steps": steps, "load": load, "crowd": crowd}
	if len(os.Args) != 2 || modes[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: http3_peer fetch | steps | load | crowd <what.json")
		os.Exit(2)
	}
	input, err := io.ReadAll(os.Stdin)
	var result interface{}
	if err == nil {
		result, err = modes[os.Args[1]](input)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(result)
}
