# The roles are those of the tables in docs/deploy.md; a test compares them.

resource "google_service_account" "worker" {
  project      = var.project
  account_id   = "ensemble-worker"
  display_name = "Launcher and workers of the ensemble template"

  depends_on = [google_project_service.api]
}

resource "google_service_account" "build" {
  project      = var.project
  account_id   = "ensemble-build"
  display_name = "Builds of the ensemble template"

  depends_on = [google_project_service.api]
}

locals {
  worker = google_service_account.worker.member
  build  = google_service_account.build.member

  project_roles = concat(
    [
      { role = "roles/dataflow.worker", member = local.worker, who = "worker" },
      { role = "roles/logging.logWriter", member = local.build, who = "build" },
      { role = "roles/ondemandscanning.admin", member = local.build, who = "build" },
    ],
    [for member in var.launchers : { role = "roles/dataflow.developer", member = member, who = member }],
    [for member in var.submitters : { role = "roles/cloudbuild.builds.editor", member = member, who = member }],
    [for member in var.submitters : { role = "roles/logging.viewer", member = member, who = member }],
    [for member in var.submitters : { role = "roles/serviceusage.serviceUsageConsumer", member = member, who = member }],
  )

  bucket_roles = concat(
    [
      { role = "roles/storage.objectUser", member = local.worker, who = "worker" },
      { role = "roles/storage.objectUser", member = local.build, who = "build" },
    ],
    [for member in var.launchers : { role = "roles/storage.objectViewer", member = member, who = member }],
    [for member in var.submitters : { role = "roles/storage.objectUser", member = member, who = member }],
    [for member in var.submitters : { role = "roles/storage.legacyBucketReader", member = member, who = member }],
  )
}

resource "google_project_iam_member" "role" {
  for_each = { for each in local.project_roles : "${each.who} ${each.role}" => each }

  project = var.project
  role    = each.value.role
  member  = each.value.member
}

resource "google_storage_bucket_iam_member" "role" {
  for_each = { for each in local.bucket_roles : "${each.who} ${each.role}" => each }

  bucket = google_storage_bucket.ensemble.name
  role   = each.value.role
  member = each.value.member
}

resource "google_artifact_registry_repository_iam_member" "worker" {
  project    = var.project
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.reader"
  member     = local.worker
}

resource "google_artifact_registry_repository_iam_member" "build" {
  project    = var.project
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = local.build
}

resource "google_pubsub_subscription_iam_member" "subscriber" {
  for_each = local.inputs

  project      = var.project
  subscription = google_pubsub_subscription.subscription[each.value].name
  role         = "roles/pubsub.subscriber"
  member       = local.worker
}

resource "google_pubsub_subscription_iam_member" "viewer" {
  for_each = local.inputs

  project      = var.project
  subscription = google_pubsub_subscription.subscription[each.value].name
  role         = "roles/pubsub.viewer"
  member       = local.worker
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = local.outputs

  project = var.project
  topic   = google_pubsub_topic.topic[each.value].name
  role    = "roles/pubsub.publisher"
  member  = local.worker
}

resource "google_service_account_iam_member" "launcher" {
  for_each = toset(var.launchers)

  service_account_id = google_service_account.worker.name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value
}

resource "google_service_account_iam_member" "submitter" {
  for_each = toset(var.submitters)

  service_account_id = google_service_account.build.name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value
}
