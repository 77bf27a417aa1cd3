locals {
  inputs  = toset(["records", "refresh"])
  outputs = toset(["predictions", "dead-letters", "releases"])
}

resource "google_pubsub_topic" "topic" {
  for_each = setunion(local.inputs, local.outputs)

  project      = var.project
  name         = each.value
  kms_key_name = var.kms_key
  labels       = local.labels

  depends_on = [google_project_service.api]
}

# What a job reads, and the dead letters, which would be gone if nobody kept them.
# Without a dead-letter policy, which Dataflow advises against on what it reads: it holds messages longer than
# the policy counts deliveries, and the template has dead letters of its own. Without exactly-once delivery
# for the same reason: Dataflow removes duplicates itself.
resource "google_pubsub_subscription" "subscription" {
  for_each = setunion(local.inputs, ["dead-letters"])

  project = var.project
  name    = each.value
  topic   = google_pubsub_topic.topic[each.value].id
  labels  = local.labels

  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"

  # A stream that is stopped for a month finds its subscription again.
  expiration_policy {
    ttl = ""
  }
}
