variable "project" {
  description = "Id of the project. It exists and has a billing account."
  type        = string
}

variable "region" {
  description = "Where the bucket, the repository, the subnetwork and the jobs are."
  type        = string
}

variable "bucket" {
  description = "Name of the bucket for models, records, outputs, specs and temporary files. Unique in all of Cloud Storage."
  type        = string
}

variable "repository" {
  description = "Name of the Artifact Registry repository of the images."
  type        = string
  default     = "templates"
}

variable "subnetwork" {
  description = "Name of the network and of its only subnetwork, whose machines have no public address."
  type        = string
  default     = "private"
}

variable "ip_range" {
  description = "Addresses of the subnetwork: one for each worker."
  type        = string
  default     = "10.128.0.0/20"
}

variable "launchers" {
  description = "Who launches, updates and drains jobs, such as [\"group:data@example.com\"]."
  type        = list(string)
  default     = []
}

variable "submitters" {
  description = "Who submits builds by hand."
  type        = list(string)
  default     = []
}

variable "notification_channels" {
  description = "Whom alerts tell: names of channels (projects/PROJECT/notificationChannels/ID)."
  type        = list(string)
  default     = []
}

variable "kms_key" {
  description = "Key of Cloud KMS for bucket, repository and topics; the service agents of these three need roles/cloudkms.cryptoKeyEncrypterDecrypter on it. Null: keys of Google."
  type        = string
  default     = null
}

variable "temp_days" {
  description = "Days after which files below temp/ are deleted. Longer than any batch job runs."
  type        = number
  default     = 14
}

variable "staging_days" {
  description = "Days after which files below staging/ and source/ are deleted. Longer than any stream runs: each new worker reads what its launch staged."
  type        = number
  default     = 365
}

variable "labels" {
  description = "Labels of everything that can have them."
  type        = map(string)
  default     = {}
}
