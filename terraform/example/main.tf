# The project of docs/deploy.md. Choose a backend for the state, and set the variables:
#
#   terraform init
#   terraform apply -var project=my-project -var region=europe-west1 -var bucket=my-bucket \
#     -var 'launchers=["user:me@example.com"]' -var 'submitters=["user:me@example.com"]'

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

variable "launchers" {
  type    = list(string)
  default = []
}

variable "submitters" {
  type    = list(string)
  default = []
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
  launchers  = var.launchers
  submitters = var.submitters
  labels     = { team = "data" }
}

output "ensemble" {
  value = module.ensemble
}
