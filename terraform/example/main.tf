# The project of docs/deploy.md. Copy this folder, choose a backend for the state, and set the variables:
#
#   terraform init
#   terraform apply -var project=my-project -var region=europe-west1 -var bucket=my-bucket

terraform {
  required_version = ">= 1.5"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.0, < 8.0"
    }
  }
}

variable "project" {
  type = string
}

variable "region" {
  type = string
}

variable "bucket" {
  type = string
}

provider "google" {
  project = var.project
  region  = var.region
}

module "ensemble" {
  source = "../module"

  project    = var.project
  region     = var.region
  bucket     = var.bucket
  repository = "templates"
  launchers  = ["group:data-engineers@example.com"]
  submitters = ["group:data-engineers@example.com"]
  labels     = { team = "data" }
}

output "ensemble" {
  value = module.ensemble
}
