{{- /* The pod of a server, the same in both modes. */ -}}

{{- define "tidings.pod" -}}
metadata:
  labels:
    {{- include "tidings.podLabels" . | nindent 4 }}
  annotations:
    # Changed configuration brings new pods.
    checksum/config: {{ include "tidings.config.file" . | sha256sum }}
    {{- with merge (deepCopy .Values.podAnnotations) .Values.commonAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "tidings.serviceAccount" . }}
  # The server asks nothing of the Kubernetes API.
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  terminationGracePeriodSeconds: {{ include "tidings.graceSeconds" . }}
  containers:
    - name: tidings
      image: {{ include "tidings.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, {{ (include "tidings.paths" . | fromYaml).config }}/tidings.toml]
      {{- with include "tidings.environment" . }}
      env:
        {{- . | nindent 8 }}
      {{- end }}
      ports:
        - { name: grpc, containerPort: {{ .Values.listen.port }}, protocol: TCP }
        - { name: ops, containerPort: {{ .Values.listen.opsPort }}, protocol: TCP }
      # Opening an embedded log may take a while, after a crash above all.
      startupProbe:
        httpGet: { path: /livez, port: ops }
        {{- toYaml .Values.probes.startup | nindent 8 }}
      livenessProbe:
        httpGet: { path: /livez, port: ops }
        {{- toYaml .Values.probes.liveness | nindent 8 }}
      readinessProbe:
        httpGet: { path: /readyz, port: ops }
        {{- toYaml .Values.probes.readiness | nindent 8 }}
      {{- if gt (int .Values.stop.pauseSeconds) 0 }}
      lifecycle:
        # Everybody learns that this server goes before it refuses connections.
        preStop:
          sleep: { seconds: {{ .Values.stop.pauseSeconds }} }
      {{- end }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        {{- include "tidings.mounts" . | nindent 8 }}
  volumes:
    {{- include "tidings.volumes" . | nindent 4 }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
{{- end -}}

{{- /* Without the chart's version: a chart that changes nothing else brings no new pods. */ -}}
{{- define "tidings.podLabels" -}}
{{- $own := include "tidings.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "tidings" -}}
{{- $_ := set $own "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_" | trunc 63) -}}
{{- mergeOverwrite (deepCopy .Values.commonLabels) (deepCopy .Values.podLabels) $own | toYaml -}}
{{- end -}}

{{- define "tidings.environment" -}}
{{- range $name, $from := .Values.secretEnv }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef: { name: {{ $from.name | quote }}, key: {{ $from.key | quote }} }
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tidings.mounts" -}}
{{- $paths := include "tidings.paths" . | fromYaml -}}
- { name: config, mountPath: {{ $paths.config }}, readOnly: true }
- { name: tmp, mountPath: /tmp }
{{- if eq .Values.mode "embedded" }}
- { name: data, mountPath: {{ $paths.data }} }
{{- end }}
{{- if .Values.tls.enabled }}
# Whole folders, so that what is renewed in them arrives; the server reads it again.
- { name: tls, mountPath: {{ $paths.tls }}, readOnly: true }
{{- if .Values.tls.clientCA.secretName }}
- { name: client-ca, mountPath: {{ $paths.clientCA }}, readOnly: true }
{{- end }}
{{- end }}
{{- range .Values.secretFiles }}
- { name: {{ .name }}, mountPath: {{ .mountPath | quote }}, readOnly: true }
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tidings.volumes" -}}
- name: config
  configMap: { name: {{ include "tidings.fullname" . }} }
- name: tmp
  emptyDir: { sizeLimit: {{ .Values.tmp.sizeLimit | quote }} }
{{- if eq .Values.mode "embedded" }}
- name: data
  {{- if .Values.persistence.enabled }}
  persistentVolumeClaim: { claimName: {{ include "tidings.claim" . }} }
  {{- else }}
  emptyDir: { sizeLimit: {{ .Values.persistence.size | quote }} }
  {{- end }}
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  secret: { secretName: {{ include "tidings.tlsSecret" . }}, defaultMode: 0440 }
{{- if .Values.tls.clientCA.secretName }}
- name: client-ca
  secret:
    secretName: {{ .Values.tls.clientCA.secretName }}
    defaultMode: 0440
    items: [{ key: {{ .Values.tls.clientCA.key | quote }}, path: {{ .Values.tls.clientCA.key | quote }} }]
{{- end }}
{{- end }}
{{- range .Values.secretFiles }}
- name: {{ .name }}
  secret: { secretName: {{ .secretName }}, defaultMode: 0440 }
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tidings.tlsSecret" -}}
{{- default (printf "%s-tls" (include "tidings.fullname" .)) .Values.tls.secretName -}}
{{- end -}}
