{{- /*
Any map of values as TOML, so that the chart needs to know no key of the configuration.

Helm's own toToml writes whole numbers as floats (4 as 4.0), which the server refuses; so values are written as JSON here, which
TOML reads as the same strings, numbers and booleans. What is null is left out.
*/ -}}

{{- /* A table with all below it. Call with (dict "path" "" "table" MAP). */ -}}
{{- define "tidings.toml" -}}
{{- $path := .path -}}
{{- range $key, $value := .table -}}
{{- if and (ne (include "tidings.toml.isTable" $value) "true") (ne (include "tidings.toml.isTables" $value) "true") (not (kindIs "invalid" $value)) }}
{{ include "tidings.toml.key" $key }} = {{ include "tidings.toml.value" $value }}
{{- end -}}
{{- end -}}
{{- range $key, $value := .table -}}
{{- $name := printf "%s%s" $path (include "tidings.toml.key" $key) -}}
{{- if eq (include "tidings.toml.isTables" $value) "true" -}}
{{- range $item := $value }}

[[{{ $name }}]]
{{- if not (kindIs "map" $item) -}}{{- fail (printf "config.%s: a list of tables has something else in it, such as null" $name) -}}{{- end -}}
{{- range $itemKey, $itemValue := $item -}}
{{- if not (kindIs "invalid" $itemValue) }}
{{ include "tidings.toml.key" $itemKey }} = {{ include "tidings.toml.value" $itemValue }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- else if eq (include "tidings.toml.isTable" $value) "true" }}

[{{ $name }}]
{{- include "tidings.toml" (dict "path" (printf "%s." $name) "table" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tidings.toml.isTable" -}}
{{- kindIs "map" . -}}
{{- end -}}

{{- /* A list of maps, and not an empty one. */ -}}
{{- define "tidings.toml.isTables" -}}
{{- if and (kindIs "slice" .) . -}}
{{- kindIs "map" (first .) -}}
{{- end -}}
{{- end -}}

{{- define "tidings.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . -}}{{ . }}{{- else -}}{{ toRawJson . }}{{- end -}}
{{- end -}}

{{- /* A value on one line: tables and lists below it are written inline. */ -}}
{{- define "tidings.toml.value" -}}
{{- if kindIs "map" . -}}
{{- $pairs := list -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $pairs = append $pairs (printf "%s = %s" (include "tidings.toml.key" $key) (include "tidings.toml.value" $value)) -}}
{{- end -}}
{{- end -}}
{ {{- join ", " $pairs -}} }
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . -}}
{{- if kindIs "invalid" . -}}{{- fail "config: a list has a null in it, which TOML cannot say" -}}{{- end -}}
{{- $items = append $items (include "tidings.toml.value" .) -}}
{{- end -}}
[{{- join ", " $items -}}]
{{- else -}}
{{- toRawJson . -}}
{{- end -}}
{{- end -}}
