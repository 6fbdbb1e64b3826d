{{- /* What values must not say, refused with the way out of it; the rest is in values.schema.json. */ -}}

{{- define "tidings.checks" -}}
{{- include "tidings.checks.door" . -}}
{{- include "tidings.checks.config" . -}}
{{- include "tidings.checks.environment" . -}}
{{- include "tidings.checks.tls" . -}}
{{- include "tidings.checks.mode" . -}}
{{- include "tidings.checks.stop" . -}}
{{- end -}}

{{- /* As the server itself: beyond this machine only with TLS and with clients that show who they are, unless it is said. */ -}}
{{- define "tidings.checks.door" -}}
{{- $tls := default dict .Values.config.tls -}}
{{- $encrypted := or .Values.tls.enabled $tls.certificate -}}
{{- $ca := .Values.tls.clientCA -}}
{{- $certificates := or (and $ca.secretName (eq $ca.auth "required")) (and $tls.client_ca (ne (toString $tls.client_auth) "optional")) -}}
{{- $auth := default dict .Values.config.auth -}}
{{- $known := or $certificates $auth.tokens $auth.issuers $auth.file $auth.certificates -}}
{{- if not (or .Values.insecure (and $encrypted $known)) -}}
{{- fail "nothing keeps strangers out of the bus. Set tls.enabled and, for who may come in, tls.clientCA.secretName or config.auth; or, where something else keeps them out or it is only tried, insecure=true" -}}
{{- end -}}
{{- end -}}

{{- define "tidings.checks.config" -}}
{{- $elsewhere := dict
  "server.listen" "listen.address and listen.port"
  "server.ops" "listen.address and listen.opsPort"
  "server.insecure" "insecure"
  "server.ops_open" "networkPolicy.monitoring"
  "log.backend" "mode"
  "log.embedded.directory" "persistence"
  "log.kafka.bootstrap_servers" "kafka.bootstrapServers" -}}
{{- if .Values.tls.enabled -}}
{{- $_ := set $elsewhere "tls.certificate" "tls.secretName or tls.certManager" -}}
{{- $_ := set $elsewhere "tls.key" "tls.secretName or tls.certManager" -}}
{{- if .Values.tls.clientCA.secretName -}}
{{- $_ := set $elsewhere "tls.client_ca" "tls.clientCA" -}}
{{- $_ := set $elsewhere "tls.client_auth" "tls.clientCA.auth" -}}
{{- end -}}
{{- end -}}
{{- range $path, $value := $elsewhere -}}
{{- $at := $.Values.config -}}
{{- range splitList "." $path -}}
{{- $at = ternary (get (default dict $at) .) nil (kindIs "map" $at) -}}
{{- end -}}
{{- if not (or (kindIs "invalid" $at) (eq (toString $at) "")) -}}
{{- fail (printf "config.%s: the chart sets it; use %s" $path $value) -}}
{{- end -}}
{{- end -}}
{{- $log := default dict .Values.config.log -}}
{{- $kafka := default dict $log.kafka -}}
{{- range $name, $value := default dict $kafka.properties -}}
{{- if and (regexMatch "(password|secret|\\.pem$|oauthbearer\\.config)" $name) $value -}}
{{- fail (printf "config.log.kafka.properties: %s is a secret, which does not belong into values; use secretEnv.TIDINGS_LOG__KAFKA__PROPERTIES__%s" $name ($name | upper | replace "." "_")) -}}
{{- end -}}
{{- end -}}
{{- $snapshots := default dict .Values.config.snapshots -}}
{{- range $name, $value := default dict $snapshots.options -}}
{{- if and (regexMatch "(key|secret|password|token|sas|credential)" $name) $value -}}
{{- fail (printf "config.snapshots.options: %s is a secret, which does not belong into values; use secretEnv.TIDINGS_SNAPSHOTS__OPTIONS__%s" $name (upper $name)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The environment overlays the configuration; the chart could not see what it counts on. */ -}}
{{- define "tidings.checks.environment" -}}
{{- $names := keys .Values.secretEnv -}}
{{- range .Values.extraEnv -}}{{- $names = append $names .name -}}{{- end -}}
{{- range $name := $names -}}
{{- if regexMatch "^TIDINGS_(SERVER__|LOG__BACKEND$|LOG__EMBEDDED__DIRECTORY$|LOG__KAFKA__BOOTSTRAP_SERVERS$|TLS__)" $name -}}
{{- fail (printf "%s cannot be set by the environment, because the chart counts on it: use values" $name) -}}
{{- end -}}
{{- end -}}
{{- if ne (len $names) (len (uniq $names)) -}}
{{- fail "a variable is set twice, in secretEnv and extraEnv" -}}
{{- end -}}
{{- end -}}

{{- define "tidings.checks.tls" -}}
{{- $tls := .Values.tls -}}
{{- if and $tls.enabled (not $tls.secretName) (not $tls.certManager.enabled) -}}
{{- fail "tls.enabled needs tls.secretName, or tls.certManager.enabled" -}}
{{- end -}}
{{- if and $tls.certManager.enabled (not $tls.certManager.issuerRef.name) -}}
{{- fail "tls.certManager.enabled needs tls.certManager.issuerRef.name" -}}
{{- end -}}
{{- if and (not $tls.enabled) (or $tls.secretName $tls.certManager.enabled $tls.clientCA.secretName) -}}
{{- fail "tls.secretName, tls.certManager and tls.clientCA need tls.enabled" -}}
{{- end -}}
{{- end -}}

{{- define "tidings.checks.mode" -}}
{{- if eq .Values.mode "kafka" -}}
{{- if not .Values.kafka.bootstrapServers -}}
{{- fail "mode=kafka needs kafka.bootstrapServers" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas" -}}
{{- end -}}
{{- else -}}
{{- if .Values.kafka.bootstrapServers -}}
{{- fail "kafka.bootstrapServers needs mode=kafka" -}}
{{- end -}}
{{- if .Values.autoscaling.enabled -}}
{{- fail "autoscaling.enabled needs mode=kafka: an embedded log has one server" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tidings.checks.stop" -}}
{{- $needed := include "tidings.stopSeconds" . | int64 -}}
{{- if lt (include "tidings.graceSeconds" . | int64) $needed -}}
{{- fail (printf "stop.graceSeconds: must be at least %d (stop.pauseSeconds, config.server.drain_timeout and 15 s), or servers are killed while they drain" $needed) -}}
{{- end -}}
{{- end -}}
