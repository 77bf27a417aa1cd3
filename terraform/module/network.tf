resource "google_compute_network" "network" {
  project                 = var.project
  name                    = var.subnetwork
  auto_create_subnetworks = false

  depends_on = [google_project_service.api]
}

# Workers reach Google's services, Artifact Registry among them, and nothing else: there is no NAT.
resource "google_compute_subnetwork" "subnetwork" {
  project                  = var.project
  name                     = var.subnetwork
  region                   = var.region
  network                  = google_compute_network.network.id
  ip_cidr_range            = var.ip_range
  private_ip_google_access = true
}

# Workers talk to each other where neither Streaming Engine nor Dataflow Shuffle does it for them.
resource "google_compute_firewall" "workers" {
  project   = var.project
  name      = "${var.subnetwork}-dataflow-workers"
  network   = google_compute_network.network.id
  direction = "INGRESS"

  allow {
    protocol = "tcp"
    ports    = ["12345-12346"]
  }

  source_tags = ["dataflow"]
  target_tags = ["dataflow"]
}
