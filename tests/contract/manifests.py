"""Objects as users write them, for what kubectl prints of them."""

# ruff: noqa: E501
from __future__ import annotations

from tests.contract.samples import NO_CONTROLLER, NO_SCHEDULER

OBJECTS = f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, labels: {{team: research}}, annotations: {{note: "a b"}}}}
data: {{long: "one\\ntwo\\n"}}
binaryData: {{b: AAECAw==}}
---
apiVersion: v1
kind: Secret
metadata: {{name: token}}
stringData: {{password: secret}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{clusterIP: None, selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{app: web, team: research}}}}
spec:
  schedulerName: {NO_SCHEDULER}
  automountServiceAccountToken: false
  initContainers: [{{name: first, image: busybox, command: [sh, -c, "true"]}}]
  containers:
  - name: main
    image: nginx:1.27
    command: [sleep, "60"]
    args: [a, b]
    env:
    - {{name: A, value: "1"}}
    - {{name: NODE, valueFrom: {{fieldRef: {{fieldPath: spec.nodeName}}}}}}
    - {{name: P, valueFrom: {{secretKeyRef: {{name: token, key: password}}}}}}
    envFrom: [{{configMapRef: {{name: settings}}}}]
    ports: [{{containerPort: 80, name: http}}]
    resources: {{requests: {{cpu: 100m, memory: 64Mi}}, limits: {{nvidia.com/gpu: "1", memory: 128Mi}}}}
    livenessProbe: {{httpGet: {{port: 80, path: /}}}}
    volumeMounts: [{{name: v, mountPath: /v}}, {{name: e, mountPath: /e}}]
  - {{name: side, image: busybox}}
  nodeSelector: {{disk: ssd}}
  tolerations: [{{key: nvidia.com/gpu, operator: Exists}}]
  volumes: [{{name: v, configMap: {{name: settings}}}}, {{name: e, emptyDir: {{}}}}]
---
apiVersion: batch/v1
kind: Job
metadata: {{name: train, labels: {{team: research}}}}
spec:
  suspend: true
  managedBy: {NO_CONTROLLER}
  completions: 2
  parallelism: 2
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: main, image: "python:3.11", command: [python3], resources: {{limits: {{nvidia.com/gpu: "1"}}}}}}]
---
apiVersion: v1
kind: LimitRange
metadata: {{name: sizes}}
spec: {{limits: [{{type: Container, max: {{memory: 1Gi}}, default: {{memory: 512Mi}}, defaultRequest: {{cpu: 50m}}}}]}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: robot}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: reader}}
rules: [{{verbs: [get, list], apiGroups: [""], resources: [pods, pods/log]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: readers}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}}
subjects: [{{kind: ServiceAccount, name: robot}}, {{kind: User, name: ada}}]
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{name: leader}}
spec: {{holderIdentity: me, leaseDurationSeconds: 15}}
"""
NAMES = "configmap/settings,secret/token,service/web,pod/web,job/train,limitrange/sizes,sa/robot,role/reader,rolebinding/readers,lease/leader"
