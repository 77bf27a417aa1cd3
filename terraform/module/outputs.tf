output "worker_account" {
  description = "--service-account-email of a launch."
  value       = google_service_account.worker.email
}

output "build_account" {
  description = "--service-account of a build."
  value       = google_service_account.build.name
}

output "templates" {
  description = "Where builds write template specs."
  value       = "gs://${google_storage_bucket.ensemble.name}/templates"
}

output "subnetwork" {
  description = "--subnetwork of a launch, with --disable-public-ips."
  value       = "regions/${var.region}/subnetworks/${google_compute_subnetwork.subnetwork.name}"
}

output "subscriptions" {
  description = "Full names of the subscriptions, by their short ones."
  value       = { for name, each in google_pubsub_subscription.subscription : name => each.id }
}

output "topics" {
  description = "Full names of the topics, by their short ones."
  value       = { for name, each in google_pubsub_topic.topic : name => each.id }
}
