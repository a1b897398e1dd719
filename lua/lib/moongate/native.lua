-- SPDX-License-Identifier: Apache-2.0
--- The border between Lua and the C++ runtime: every C function that Lua may call, declared once.
--
-- Everything above this file (`ngx.*`, `core.*`, `resty.*`, plugins) is Lua; everything below is C++ in
-- runtime/script/api_*.cpp under the same names. Calls through the FFI are compiled into traces, so the functions
-- here take pointers and sizes and never call back into Lua, raise or wait. What waits is a plain Lua function
-- (`moongate.wait`), because only those can yield.
--
-- Texts that come back in an `mg_text` are views: copy them with `text()` before the next call into C.

local ffi = require("ffi")

ffi.cdef([[
typedef struct mg_exchange mg_exchange;            /* one request and its answer; dead after the log phase */
typedef struct { const char *data; size_t size; } mg_text;   /* data is NULL when there is no such thing */

/* --- variables: api_exchange.cpp ------------------------------------------------------------------ */
int mg_var_get(mg_exchange *ex, const char *name, size_t name_size, mg_text *out);           /* 1 found, 0 unknown or unset */
int mg_var_set(mg_exchange *ex, const char *name, size_t name_size, const char *value, size_t size);  /* 1 set, 0 not writable, 2 no value for it */

/* --- request ---------------------------------------------------------------------------------------- */
void mg_request_method_get(mg_exchange *ex, mg_text *out);
int mg_request_method_set(mg_exchange *ex, const char *method, size_t size);                 /* 0: not a token */
int mg_request_version(mg_exchange *ex);                                                     /* of HTTP, times ten: 10, 11, 20, 30 */
double mg_request_started_at(mg_exchange *ex);                                               /* seconds since 1970 */
/* The number of a header's name, by which the functions below know it; -1 when no header can be called so. One below 64
   is soon used for another name; the others stay. */
int mg_field_name(const char *name, size_t size);
int mg_request_field_get(mg_exchange *ex, int name, mg_text *out);                           /* first value */
uint32_t mg_request_field_count(mg_exchange *ex);
uint32_t mg_request_field_count_of(mg_exchange *ex, int name);                             /* how many of that name */
void mg_request_field_at(mg_exchange *ex, uint32_t index, mg_text *name, mg_text *value);
/* Changes of fields: 1 done, 0 no name or value that can be sent, 2 too late or too early in the request. */
int mg_request_field_set(mg_exchange *ex, int name, const char *value, size_t size);
int mg_request_field_add(mg_exchange *ex, int name, const char *value, size_t size);
int mg_request_field_remove(mg_exchange *ex, int name);
void mg_request_path_get(mg_exchange *ex, mg_text *decoded);
void mg_request_query_get(mg_exchange *ex, mg_text *out);                                    /* data NULL: no `?` */
/* Replaces path (decoded form) and query (data NULL: none). 0 and a reason when it cannot be canonical. */
int mg_request_uri_set(mg_exchange *ex, const char *path, size_t path_size, const char *query, size_t query_size,
                       mg_text *reason);
/* Sets only the query. */
int mg_request_query_set(mg_exchange *ex, const char *query, size_t size);
/* State of the body: 0 none, 1 not read yet, 2 in memory (out is it), 3 in a file (out is its path). */
int mg_request_body_get(mg_exchange *ex, mg_text *out);
/* Replaces the body sent upstream. 0 when it has already gone. */
int mg_request_body_set(mg_exchange *ex, const char *data, size_t size);

/* --- response ---------------------------------------------------------------------------------------- */
int mg_response_status_get(mg_exchange *ex);                                                 /* 0: none yet */
void mg_response_status_set(mg_exchange *ex, int status);
int mg_response_is_sent(mg_exchange *ex);                                                    /* head is on its way */
int mg_response_source(mg_exchange *ex);                                                     /* 0 none yet, 1 gateway, 2 proxy error, 3 upstream */
int mg_response_field_get(mg_exchange *ex, int name, mg_text *out);
uint32_t mg_response_field_count(mg_exchange *ex);
void mg_response_field_at(mg_exchange *ex, uint32_t index, mg_text *name, mg_text *value);
int mg_response_field_set(mg_exchange *ex, int name, const char *value, size_t size);
/* The same with a number, written as Lua would. */
int mg_response_number_set(mg_exchange *ex, int name, double number);
typedef struct {
  int limit, remaining, reset;
} mg_quota_names;
int mg_response_quota_set(mg_exchange *ex, const mg_quota_names *names, double limit, double remaining, double reset_s);
int mg_response_field_add(mg_exchange *ex, int name, const char *value, size_t size);
int mg_response_field_remove(mg_exchange *ex, int name);
/* Lines `name: value` CR LF behind the upstream's body, which is over; none before. */
void mg_upstream_trailers_get(mg_exchange *ex, mg_text *out);
/* How the body is to be coded for the client, if the answer can be when it goes: the last word counts. */
typedef struct {
  int coding;              /* 1 gzip, 2 brotli, 3 zstd */
  int level, window_bits, block_bits, mode;
  uint32_t length_min;     /* bytes; shorter answers go as they are */
  uint32_t piece_max;      /* coded bytes gathered before they go out */
} mg_coding;
void mg_response_encode(mg_exchange *ex, const mg_coding *coding);
/* The exchange in a slot of this worker's pool; the pointer stays valid, the request it stands for does not. */
mg_exchange *mg_exchange_at(uint32_t slot);
/* Tells which phases (bit per phase) have hooks, after a consumer's plugins joined in. */
void mg_phases_set(mg_exchange *ex, uint32_t phases);
/* Has the request counted for plugin prometheus when it ends: bits of exchange::traffic; 0 changes nothing. */
void mg_traffic_count(mg_exchange *ex, uint32_t traffic);
/* Makes what was appended the answer, with this status; an empty one of 400 and above gets the standard error body. */
void mg_answer(mg_exchange *ex, int status);
/* Makes the standard error body with this reason the answer. */
void mg_fail(mg_exchange *ex, int status, const char *reason, size_t size);
/* A plugin's number in the accounts, given when it is first asked for. */
int32_t mg_plugin_number(const char *name, size_t size);
int mg_plugin_is_quarantined(int32_t number);
/* Where the number of the plugin that runs is written, for the watchdog and the accounts. */
volatile int32_t *mg_running_plugin(void);
/* How often each plugin was called: at 8 * number + phase, with the phases from 1 on as in exchange::Phase. */
double *mg_plugin_calls(void);
/* Appends to the body of an answer made by a plugin. */
void mg_answer_append(mg_exchange *ex, const char *data, size_t size);

/* --- upstream choice ---------------------------------------------------------------------------------- */
/* `data` is the upstream's JSON (or an id when is_id); the exchange uses it in place of its route's. 0 and a reason when refused. */
int mg_upstream_set(mg_exchange *ex, const char *data, size_t size, int is_id, mg_text *reason);

/* --- consumers: api_consumer.cpp. Numbers are those of the snapshot that serves; -1 is nobody ------------------ */
double mg_snapshot_number(void);
int64_t mg_consumer_by_name(const char *name, size_t size);
/* 1 when a credential of some consumer refers to a secret. */
int mg_has_managed_credentials(void);
int64_t mg_credential_find(const char *plugin, size_t plugin_size, const char *attribute, size_t attribute_size,
                           const char *value, size_t value_size);
/* The same for the value of a request header, by its number; -1 when there is no such header either. */
int64_t mg_credential_find_in_header(mg_exchange *ex, const char *plugin, size_t plugin_size, const char *attribute,
                                     size_t attribute_size, int name);
/* The credentials of a plugin, one after another. */
int64_t mg_credential_at(const char *plugin, size_t plugin_size, uint32_t position);
/* kind 0 the consumer's resource, 1 its version (both by consumer); 2 id, 3 conf, 4 consumer's name (by credential). */
int mg_consumer_text(uint32_t index, int kind, mg_text *out);
/* What tells a credential from all others, and from itself once it is changed; 0 for a number that is none. */
uint64_t mg_credential_print(uint32_t index);
/* Who was let in, and by which credential; a text of size 0 is none. */
typedef struct { mg_text username, credential, custom_id; uint64_t print; } mg_identity;
/* The request is this consumer's: its headers tell the upstream, and it ends soon after the credential does. Answers as a
   change of a field; with another answer than 1 the headers are as they were. */
int mg_credential_attach(mg_exchange *ex, const mg_identity *identity);
/* If the request becomes a WebSocket: limits on what its client sends. 0 is none. */
void mg_websocket_limit(mg_exchange *ex, double message_size_max_bytes, double messages_per_second, double burst);
/* One plugin of the consumer or its group: JSON {name, conf_json, resource_key, resource_version}; 0 past the last. */
int mg_consumer_plugin(uint32_t index, uint32_t position, mg_text *out);

/* --- process: api_process.cpp --------------------------------------------------------------------------- */
double mg_now(void);                    /* seconds since 1970 with fractions, as of this turn of the loop */
double mg_now_fresh(void);              /* the same, read now */
double mg_steady(void);                 /* seconds on the monotonic clock, as of this turn */
int mg_log_level(void);                 /* 0 stderr ... 8 debug */
void mg_log(int level, const char *text, size_t size);
int mg_worker_id(void);
int mg_worker_count(void);
int mg_worker_pid(void);
int mg_worker_is_exiting(void);
uint64_t mg_random(void);               /* not for secrets */
int mg_random_bytes(char *out, size_t size);   /* for secrets; 0 on failure */
int mg_random_cut(void *out, size_t size);     /* for ids, at most 256 bytes; 0 on failure */

/* --- shared dictionaries: api_shared_dict.cpp ------------------------------------------------------------ */
typedef struct mg_dict mg_dict;
typedef struct { int type; double number; const char *data; size_t size; uint32_t flags; } mg_dict_value;  /* type: 0 nil 1 bool 2 number 3 string */
mg_dict *mg_dict_find(const char *name, size_t size);        /* NULL: not declared */
/* Results: 0 done, 1 not found, 2 exists, 3 no memory, 4 not a number, 5 stale (get_stale). Strings are copied into a buffer of this thread that
   lives until the next call. `forcible` tells that other entries were evicted. Times are seconds; 0 is for ever. */
int mg_dict_get(mg_dict *d, const char *key, size_t key_size, int is_stale_wanted, mg_dict_value *out);
int mg_dict_store(mg_dict *d, int op /*0 set 1 add 2 replace 3 safe_set 4 safe_add*/, const char *key, size_t key_size, const mg_dict_value *value,
                  double ttl, int *forcible);
int mg_dict_incr(mg_dict *d, const char *key, size_t key_size, double by, int has_init, double init, double init_ttl, double *out, int *forcible);
int mg_dict_delete(mg_dict *d, const char *key, size_t key_size);
int mg_dict_expire(mg_dict *d, const char *key, size_t key_size, double ttl);
int mg_dict_ttl(mg_dict *d, const char *key, size_t key_size, double *out);      /* 0 for ever */
int mg_dict_push(mg_dict *d, const char *key, size_t key_size, int is_left, const mg_dict_value *value, uint32_t *length);
int mg_dict_pop(mg_dict *d, const char *key, size_t key_size, int is_left, mg_dict_value *out);
int mg_dict_length(mg_dict *d, const char *key, size_t key_size, uint32_t *length);
void mg_dict_flush_all(mg_dict *d);
uint32_t mg_dict_flush_expired(mg_dict *d, uint32_t max);
/* Walks live keys; cursor starts at 0. 1 and a key, or 0 at the end. */
int mg_dict_next_key(mg_dict *d, uint64_t *cursor, mg_text *out);
double mg_dict_capacity(mg_dict *d);
double mg_dict_free_space(mg_dict *d);

/* --- limits: api_limit.cpp ----------------------------------------------------------------------------------- */
typedef struct {
  int is_admitted;         /* 1 or 0 */
  double remaining;        /* whole requests that would be admitted now */
  double reset_s;          /* seconds until the whole allowance is back */
  double retry_after_s;    /* seconds until one request would be admitted; 0 when admitted */
} mg_verdict;
/* Token bucket (GCRA): `rate` a second, at most `burst` at once. Results: 0 decided, 1 the table is full. */
int mg_limit_take_token(const char *key, size_t key_size, double rate, double burst, double cost, mg_verdict *out);
/* Fixed window of `window_s` seconds from the first request in it. */
int mg_limit_take_window(const char *key, size_t key_size, double count, double window_s, double cost, mg_verdict *out);
/* For the metrics page: Redis admitted (0), refused (1) or did not decide (2). */
void mg_limit_count_redis(int result);

/* --- regular expressions: api_regex.cpp ---------------------------------------------------------------------- */
typedef struct mg_regex mg_regex;
/* options: ngx.re's letters. NULL and a text in `error` when it does not compile. */
mg_regex *mg_regex_compile(const char *pattern, size_t size, const char *options, size_t options_size, char *error, size_t error_size);
void mg_regex_free(mg_regex *re);
int mg_regex_capture_count(mg_regex *re);
/* Captures as byte offset pairs in `ovector` (room for 2 * pairs ints), -1 for unset. >0 number of pairs set, 0 no match, <0 error. */
int mg_regex_exec(mg_regex *re, const char *subject, size_t size, size_t start, int *ovector, int pairs);
int mg_regex_name_at(mg_regex *re, int index, mg_text *name, int *number);      /* 0 past the last named group */
const char *mg_regex_error(int code);

/* --- digests, encodings, signatures: api_digest.cpp ------------------------------------------------------------ */
/* algorithm: "md5", "sha1", "sha224", "sha256", "sha384", "sha512". `out` has room for 64 bytes; the size, or 0. */
size_t mg_digest(const char *algorithm, const char *data, size_t size, char *out);
size_t mg_hmac(const char *algorithm, const char *key, size_t key_size, const char *data, size_t size, char *out);
typedef struct mg_digest_state mg_digest_state;
mg_digest_state *mg_digest_new(const char *algorithm);
int mg_digest_update(mg_digest_state *state, const char *data, size_t size);
size_t mg_digest_final(mg_digest_state *state, char *out);
void mg_digest_free(mg_digest_state *state);
uint32_t mg_crc32(const char *data, size_t size);
size_t mg_json_member_count(const char *text, size_t size);
int mg_uuid_v4(char *out);                       /* 36 characters; 0 when the system has no random bytes */
int mg_uuid_v7(double unix_ms, char *out);       /* the same, in the order of time */
/* Verifies a JWS signature. algorithm is the JWA name (RS256 ... EdDSA); `pem` a public key or certificate. 1 valid, 0 not, -1 bad key,
   with the reason in `error`. HS* is not taken here. */
int mg_signature_verify(const char *algorithm, const char *pem, size_t pem_size, const char *data, size_t size, const char *signature,
                        size_t signature_size, char *error, size_t error_size);
/* Whether this build can: the one with mbedTLS has no EdDSA. */
int mg_signature_is_available(const char *algorithm);
int mg_equal_constant_time(const char *a, size_t a_size, const char *b, size_t b_size);
/* base64: `out` has room for (size + 2) / 3 * 4 bytes; the size. decode: -1 on bad input; out has room for size bytes. */
size_t mg_base64_encode(const char *data, size_t size, int is_url, int is_padded, char *out);
long mg_base64_decode(const char *data, size_t size, int is_url, char *out);
/* kind 0 path, 2 component (ngx.escape_uri's numbers). `out` has room for 3 * size. */
size_t mg_escape_uri(const char *data, size_t size, int kind, char *out);
size_t mg_unescape_uri(const char *data, size_t size, char *out);

/* --- content codings: api_coding.cpp ----------------------------------------------------------------------------- */
int mg_content_coding(const char *name, size_t size);        /* the number of a coding that can be undone; 0 for others */
/* Decodes all of it, within limits (size_max 0: 64 MB). 1 and the body, 0 and a reason; forget it when it is copied. */
int mg_content_decode(int coding, const char *data, size_t size, size_t size_max, mg_text *out);
void mg_content_forget(void);

/* --- addresses: api_address.cpp -------------------------------------------------------------------------------- */
/* 1 when `address` (IPv4 or IPv6 text) lies within `cidr` (address or address/bits), 0 when not, -1 when either does not parse. */
int mg_address_in_cidr(const char *address, size_t address_size, const char *cidr, size_t cidr_size);
]])

--- `scratch` is for one call at a time: its content is gone with the next.
local _M = { C = ffi.C, scratch = ffi.new("mg_text[1]") }

local ffi_string = ffi.string

--- Copies a view into a Lua string; nil for a missing one.
---@param view ffi.cdata*   an `mg_text`
---@return string?
function _M.text(view)
  if view.data == nil then
    return nil
  end
  return ffi_string(view.data, view.size)
end

return _M
