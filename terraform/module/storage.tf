resource "google_storage_bucket" "ensemble" {
  project  = var.project
  name     = var.bucket
  location = var.region
  labels   = local.labels

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # Temporary files come and go by the thousand; kept for a week after their end, each would cost.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  # What a first launch left that was killed. It takes an hour.
  lifecycle_rule {
    condition {
      age            = 3
      matches_prefix = ["first-launch/"]
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      age            = var.temp_days
      matches_prefix = ["temp/"]
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      age            = var.staging_days
      matches_prefix = ["staging/", "source/"]
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      age = 7
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_artifact_registry_repository" "images" {
  project       = var.project
  location      = var.region
  repository_id = var.repository
  description   = "Images of the ensemble template"
  format        = "DOCKER"
  kms_key_name  = var.kms_key
  labels        = local.labels

  # Specs and running jobs name images by digest. Those of a version have its tag and stay; what lost its
  # tag was the cache of an older build.
  cleanup_policies {
    id     = "delete-untagged"
    action = "DELETE"
    condition {
      tag_state  = "UNTAGGED"
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.api]
}
