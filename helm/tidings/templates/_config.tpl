{{- /* The configuration of the server: what the values say of it, and what the chart itself decides. */ -}}

{{- /* Where files lie in the pod. */ -}}
{{- define "tidings.paths" -}}
config: /etc/tidings/config
tls: /etc/tidings/tls
clientCA: /etc/tidings/client-ca
data: /var/lib/tidings
{{- end -}}

{{- /* The whole configuration, as JSON: `include … | fromJson`. */ -}}
{{- define "tidings.config" -}}
{{- $paths := include "tidings.paths" . | fromYaml -}}
{{- $server := dict
  "listen" (printf "%s:%d" .Values.listen.address (int .Values.listen.port))
  "ops" (printf "%s:%d" .Values.listen.address (int .Values.listen.opsPort))
  "ops_open" true
  "insecure" .Values.insecure -}}
{{- $log := dict "backend" .Values.mode -}}
{{- if eq .Values.mode "kafka" -}}
{{- $_ := set $log "kafka" (dict "bootstrap_servers" (join "," .Values.kafka.bootstrapServers)) -}}
{{- else -}}
{{- $_ := set $log "embedded" (dict "directory" (printf "%s/log" $paths.data)) -}}
{{- end -}}
{{- $own := dict "server" $server "log" $log -}}
{{- if .Values.tls.enabled -}}
{{- $tls := dict "certificate" (printf "%s/tls.crt" $paths.tls) "key" (printf "%s/tls.key" $paths.tls) -}}
{{- if .Values.tls.clientCA.secretName -}}
{{- $_ := set $tls "client_ca" (printf "%s/%s" $paths.clientCA .Values.tls.clientCA.key) -}}
{{- $_ := set $tls "client_auth" .Values.tls.clientCA.auth -}}
{{- end -}}
{{- $_ := set $own "tls" $tls -}}
{{- end -}}
{{- mergeOverwrite (deepCopy .Values.config) $own | toJson -}}
{{- end -}}

{{- /* The file tidings.toml. */ -}}
{{- define "tidings.config.file" -}}
# Made by the Helm chart from its values. `tidings config default` explains every key.
# The kubelet and Prometheus must reach the ops listener, so it is open; a network policy says to whom.
{{- include "tidings.toml" (dict "path" "" "table" (include "tidings.config" . | fromJson)) }}
{{- end -}}

{{- /* A duration of the configuration, such as "30s", in whole seconds, rounded up. */ -}}
{{- define "tidings.seconds" -}}
{{- $text := trim (toString .) -}}
{{- if not (regexMatch "^[0-9]+ *(ns|us|ms|s|m|h|d)$" $text) -}}
{{- fail (printf "config.server.drain_timeout: must be a duration such as 30s or 2m, not %q" $text) -}}
{{- end -}}
{{- $number := regexFind "^[0-9]+" $text | int64 -}}
{{- $unit := regexFind "[a-z]+$" $text -}}
{{- $whole := dict "s" 1 "m" 60 "h" 3600 "d" 86400 -}}
{{- $parts := dict "ns" 1000000000 "us" 1000000 "ms" 1000 -}}
{{- if hasKey $whole $unit -}}
{{- mul $number (get $whole $unit) -}}
{{- else -}}
{{- $of := int64 (get $parts $unit) -}}
{{- div (add $number (sub $of 1)) $of -}}
{{- end -}}
{{- end -}}

{{- /* How long a server that is told to stop may take at most: the pause before, the drain, and 15 s for its last words. */ -}}
{{- define "tidings.stopSeconds" -}}
{{- $server := default dict .Values.config.server -}}
{{- $drain := include "tidings.seconds" (default "30s" $server.drain_timeout) | int64 -}}
{{- add (int64 .Values.stop.pauseSeconds) $drain 15 -}}
{{- end -}}

{{- define "tidings.graceSeconds" -}}
{{- default (include "tidings.stopSeconds" .) .Values.stop.graceSeconds | int64 -}}
{{- end -}}
